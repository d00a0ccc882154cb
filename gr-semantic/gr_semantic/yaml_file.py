# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads YAML files that people write."""

from pathlib import Path

import yaml

from .errors import UserError


def read_yaml(path):
    """What a YAML file holds (safe loader); an empty file holds no fields: {}.

    Raises:
        UserError: the file cannot be read, or is not YAML.
    """
    try:
        fields = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is not YAML ({' '.join(str(error).split())})") from None
    return {} if fields is None else fields
