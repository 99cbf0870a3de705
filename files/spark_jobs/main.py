"""Entry point of the lakehouse's jobs: `spark-submit main.py pipeline --config pipeline.yml`."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

from lakehouse import catalog, config, models, quality, schedule

_BATCH_WITHIN = 6 * 3600.0  # seconds


def main() -> int:
    """Runs one job; returns the process's exit code."""
    parser = argparse.ArgumentParser(description="Jobs of the change-data-capture lakehouse.")
    parser.add_argument(
        "job", choices=["bronze", "silver", "gold", "pipeline", "batch", "maintain", "verify", "catalog"]
    )
    parser.add_argument("--config", type=Path, required=True, help="settings file (pipeline.yml)")
    parser.add_argument("--available-now", action="store_true", help="end when what is there now is done")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("py4j").setLevel(logging.WARNING)

    if arguments.job == "verify":
        from lakehouse_verify.__main__ import main as verify  # shares nothing with the jobs

        return verify(["--config", str(arguments.config)])
    try:
        settings = config.load(arguments.config)
        offered = catalog.entries(settings)  # also checks the gold models before anything starts
    except (config.ConfigError, models.ModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.job == "catalog":
        print(json.dumps(offered, indent=1))
        return 0

    if arguments.job == "batch":
        try:
            seconds = schedule.ask(settings.status_file, _BATCH_WITHIN)
        except schedule.ScheduleError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        print(f"Silver and gold have what was committed {seconds:.0f} s ago.")
        return 0

    from lakehouse import maintenance, pipeline, spark
    from lakehouse.status import LAYERS

    layers = LAYERS if arguments.job == "pipeline" else (arguments.job,)
    session = spark.session(f"lakehouse-{arguments.job}")
    try:
        for table in settings.tables:
            quality.check_patterns(table.name, table.quality, session._jvm)
        if arguments.job == "maintain":
            maintenance.clean(session, settings)
            return 0
        (pipeline.run_now if arguments.available_now else pipeline.run)(session, settings, layers)
    except (quality.QualityError, models.ModelError) as error:
        print(f"error: {arguments.config}: {error}", file=sys.stderr)
        return 2
    finally:
        session.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
