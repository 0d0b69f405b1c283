"""The six demos: stories as data, played on the real runtime by a scripted model.

    for demo in demos():
        print(demo.slug, demo.name, demo.description)

A demo is one TOML file in `data/`, its seed files in `files/<slug>/` and its recording in `recordings/`. The format is `Demo`
(`demo.schema.json` says the same as JSON Schema); `script` plays it, `expects` says what a run of it must have shown. What runs it,
the tools, the stand-ins and the session, is put together in `life.host.demos.demos`.

Source: workspace-ui.md §1.2, §1.3 (WS-DEMO-1 to WS-DEMO-8).
"""

from life.workspace.demos.catalogue import SLUGS, demo, demos, recording, seed_files
from life.workspace.demos.demo import Demo
from life.workspace.demos.errors import DemoDataError, DemoNotFoundError, DemoRecordingMissingError

__all__ = [
    "SLUGS",
    "Demo",
    "DemoDataError",
    "DemoNotFoundError",
    "DemoRecordingMissingError",
    "demo",
    "demos",
    "recording",
    "seed_files",
]
