"""`multisigma serve`: a web page that reads pictures and videos."""

from collections.abc import Sequence

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import PositiveInt

from multisigma.cli.console import print_line
from multisigma.cli.options import add_device, add_model, add_trust_code, add_votes, load_model
from multisigma.errors import MultisigmaError


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of the command."""
    parser = ArgumentParser(
        description="Serve a web page: a picture or a video in; classes, objects, depth and a point cloud out. Only "
        "this machine reaches it, unless --host names another address."
    )
    add_model(parser, "model")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for the whole network")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on")
    parser.add_argument("--max-megabytes", type=float, default=30.0, help="largest file that a visitor may send")
    parser.add_argument("--max-megapixels", type=float, default=30.0, help="largest picture, in millions of pixels")
    parser.add_argument("--max-frames", type=PositiveInt, default=300, help="frames of a video that are read")
    add_device(parser)
    add_votes(parser)
    add_trust_code(parser)
    return parser


def run(options: Namespace) -> None:
    """Serve until Ctrl-C."""
    for name in ("max_megabytes", "max_megapixels"):
        if not getattr(options, name) > 0:
            option = name.replace("_", "-")
            raise MultisigmaError(f"Option --{option} must be positive. Found {getattr(options, name):g}.")
    if not 0 < options.port < 65536:
        raise MultisigmaError(f"Option --port must be from 1 to 65535. Found {options.port}.")
    from multisigma.serving.server import serve
    from multisigma.serving.uploads import Limits
    from multisigma.tasks import choose_votes

    model = load_model(options.model, options.device, options.trust_code)
    choose_votes(model.tasks, options.votes)
    print_line(f"http://{options.host}:{options.port}; Ctrl-C ends it")
    limits = Limits(options.max_megabytes, options.max_megapixels, options.max_frames)
    serve(model, limits, options.host, options.port)
