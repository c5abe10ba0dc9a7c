"""What a healthy start-up log says about this machine."""

from __future__ import annotations

from glmcalc.present import beside_log, inputs, options
from glmcalc.present.deployment_file import gib_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def build_calibrate(parser: argparse.ArgumentParser) -> None:
    """Options of ``glmcalc calibrate``."""
    parser.add_argument(
        "file", metavar="FILE", help="a start-up log, - for standard input, or its memory lines themselves in quotes"
    )
    beside_log.add_options(parser)
    parser.add_argument("--gpu-memory-gib", metavar="X", help="memory of each GPU in GiB, as a log printed it")
    parser.add_argument("--out", metavar="FILE", help="write the calibration, for --calibration of other subcommands")
    parser.add_argument(
        "--observation", metavar="FILE", help="write a redacted row that can be given back to the project"
    )
    options.json_option(parser)


def run_calibrate(args: argparse.Namespace) -> int:
    """0: the log was read and its terms measured."""
    from glmcalc.advise.calibrate import calibrate
    from glmcalc.advise.reconcile import reconciliation

    stated = beside_log.stated(args)
    if args.gpu_memory_gib is not None:
        stated["gpu_memory_bytes"] = gib_bytes("gpu_memory_gib", args.gpu_memory_gib)
    made = inputs.with_source(args.file, lambda source: calibrate(source, args.command, stated))
    data = reconciliation(made)
    written = []
    if args.out is not None:
        inputs.write_text("out", args.out, made.measured.calibration.to_text())
        written.append(f"calibration: {args.out}")
    if args.observation is not None:
        import json
        from datetime import date

        from glmcalc.advise.observation import observation

        row = json.dumps(observation(made, date.today().isoformat()))
        inputs.write_text("observation", args.observation, row + "\n")
        written.append(f"observation: {args.observation}")
    if args.json:
        options.print_json({**data, "written": written})
    else:
        from glmcalc.present.calibrate_text import calibration_text

        print(calibration_text(data, written))
    return 0
