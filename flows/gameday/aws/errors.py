"""AWS's own errors, raised from within moto."""

from __future__ import annotations


def ec2_error(code: str, message: str) -> Exception:
    """An error of the EC2 API."""
    from moto.ec2.exceptions import EC2ClientError

    error: Exception = EC2ClientError(code, message)
    return error


def autoscaling_error(message: str) -> Exception:
    """Auto Scaling says ValidationError for nearly everything that it refuses."""
    from moto.autoscaling.exceptions import ValidationError

    error: Exception = ValidationError(message)
    return error


def cloudformation_error(code: str, message: str) -> Exception:
    """An error of the CloudFormation API."""
    from moto.cloudformation.exceptions import CloudFormationError

    error: Exception = CloudFormationError(code, message)
    return error


def said(error: Exception) -> str:
    """What an error of another service says, as CloudFormation quotes it in an event."""
    if isinstance(error, KeyError):
        return f"Properties validation failed: required key [{error.args[0]}] not found"
    code, message = getattr(error, "code", None), getattr(error, "message", None)
    if not isinstance(code, str):
        return f"{type(error).__name__}: {error}"
    return f"{message or error} (Status Code: 400; Error Code: {code})"
