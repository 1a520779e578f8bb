"""`multisigma train`: train the network. Each field of the configuration is an option."""

import argparse
import dataclasses
import glob
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_type_hints

from jsonargparse import ArgumentParser, Namespace

from multisigma.cli.console import make_progress, print_line
from multisigma.cli.options import add_trust_code
from multisigma.errors import MultisigmaError
from multisigma.training.config import PRESETS, TrainConfig, read_fields


class TrainParser(ArgumentParser):
    """A parser that takes the options of tasks, `--task.TASK.NAME VALUE`, besides its own.

    jsonargparse takes one key of a mapping, and these have two.
    """

    def parse_args(self, args: Sequence[str], **settings: Any) -> Namespace:  # type: ignore[override]
        """Parse; each option of a task replaces or joins those of configuration files."""
        rest, own = [], []
        left = iter(args)
        for argument in left:
            name, equals, value = argument.partition("=")
            if not name.startswith("--task."):
                rest.append(argument)
                continue
            task, _, key = name.removeprefix("--task.").partition(".")
            value = value if equals else next(left, "")
            if not task or not key or not value:
                raise MultisigmaError(
                    "An option of a task must be --task.TASK.NAME VALUE, such as --task.depth.likelihood gaussian. "
                    f"Found {argument}."
                )
            own.append((task, key, value))
        options: Namespace = super().parse_args(rest, **settings)
        merged = {task: dict(values) for task, values in (options.task_options or {}).items()}
        for task, key, value in own:
            merged.setdefault(task, {})[key] = value
        options.task_options = merged or None
        options.typed = " ".join(args)
        return options

    def parse_path(self, cfg_path: Any, *args: Any, **settings: Any) -> Namespace:
        """Parse the file of `--config`, once it is known to be plain: jsonargparse would follow any alias."""
        read_fields(Path(cfg_path))
        return super().parse_path(cfg_path, *args, **settings)


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of the command: the defaults are the values of the preset that the arguments name.

    A resumed run takes its own configuration as its preset.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--preset", nargs="?", default="full")
    early.add_argument("--resume", nargs="?", const="true", default="false")
    early.add_argument("--resume-or-start", nargs="?", const="true", default="false")
    early.add_argument("--out", nargs="?", type=Path)
    known, _ = early.parse_known_args(list(arguments))
    stored = known.out / "config.yaml" if known.out else None
    resumes = "true" in (known.resume, known.resume_or_start) and stored is not None and stored.is_file()
    if resumes and stored:
        # Check here, because the parser would not name the file.
        TrainConfig.from_yaml(stored)
    source = str(stored) if resumes else str(PRESETS.get(known.preset, ""))

    parser = TrainParser(
        description="Train the scene network; every field of the configuration is an option, a preset sets them all.",
        # jsonargparse takes glob patterns, and a path may hold brackets.
        default_config_files=[glob.escape(source)] if source else [],
    )
    parser.add_argument("--config", action="config", help="YAML file with fields of the configuration")
    parser.add_argument("--preset", type=str, default="full", help=f"named configuration: {', '.join(PRESETS)}")
    parser.add_argument("--out", type=Path, required=True, help="run folder to make")
    parser.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    parser.add_argument(
        "--resume-or-start",
        action="store_true",
        help="go on from the run's last checkpoint, or start if there is no run: one command for a job that may be "
        "killed and started again",
    )
    add_trust_code(parser)
    hints = get_type_hints(TrainConfig)
    for field in dataclasses.fields(TrainConfig):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=hints[field.name],
            default=field.default,
            help=field.metadata["help"],
        )
    return parser


def run(options: Namespace) -> None:
    """Train the run."""
    if options.preset not in PRESETS:
        raise MultisigmaError(f"Option --preset must be one of {', '.join(PRESETS)}. Found {options.preset!r}.")
    # After the check, because it takes seconds.
    from multisigma.training.run_folder import require_trust
    from multisigma.training.train import train

    config = TrainConfig(**{f.name: options[f.name] for f in dataclasses.fields(TrainConfig)})
    if not options.trust_code:
        require_trust(config, "The configuration", options.typed)
    begin = time.perf_counter()
    resume = options.resume or (options.resume_or_start and (options.out / "config.yaml").is_file())
    train(config, options.out, resume, make_progress())
    print_line(f"trained in {time.perf_counter() - begin:.0f} s; the run is in {options.out}")
