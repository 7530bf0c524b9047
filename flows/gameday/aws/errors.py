"""AWS's own errors, raised from within moto."""

from __future__ import annotations

from typing import Any


def ec2_error(code: str, message: str) -> Exception:
    """An error of the EC2 API."""
    from moto.ec2.exceptions import EC2ClientError

    error: Any = EC2ClientError(code, message)
    result: Exception = error
    return result


def autoscaling_error(message: str) -> Exception:
    """Auto Scaling says ValidationError for nearly everything that it refuses."""
    from moto.autoscaling.exceptions import ValidationError

    error: Exception = ValidationError(message)
    return error
