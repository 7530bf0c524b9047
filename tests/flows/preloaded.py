"""What the process that commands are forked from holds already: what each of them would load."""

# ruff: noqa: F401
import _strptime
import sqlite3
import stringprep

import boto3
import botocore.handlers
import sqlalchemy.dialects.sqlite
import typer
import yaml

import flows.cli
import flows.console.live_view
import flows.documents
import flows.responder
import runbooks.loader
import tests.flows.commands
from runbooks.connections import USED_BY_PLAYBOOKS, read_models

read_models(USED_BY_PLAYBOOKS)
typer.main.get_command(flows.cli.app)
