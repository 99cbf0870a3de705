"""Build a jar that stands in for Metabase's: python tests/metabase_jar/build.py VERSION FILE

It starts as Metabase does and answers /api/health, no more. The compiler is the one that Spark brings, since
a machine that runs the tests need have no more than a Java runtime. A version has the same bytes each time.
"""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import pyspark
import yaml
from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

HERE = Path(__file__).resolve().parent
LOCK = HERE.parents[1] / "files/artifacts.lock.yml"
CACHE = Path(os.environ.get("CDC_LAKEHOUSE_CACHE") or Path.home() / ".cache" / "cdc-lakehouse") / "files"
JARS = Path(pyspark.__file__).parent / "jars"
TIME = (2026, 1, 1, 0, 0, 0)


def compiled(source: Path) -> dict[str, bytes]:
    """The classes of a source file, by name."""
    (py4j,) = JARS.glob("py4j-*.jar")
    compiler = [*JARS.glob("janino-*.jar"), *JARS.glob("commons-compiler-*.jar")]
    port = launch_gateway(jarpath=str(py4j), classpath=":".join(map(str, compiler)), die_on_exit=True)
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
    try:
        compiling = gateway.jvm.org.codehaus.janino.SimpleCompiler()
        compiling.cook(source.read_text())
        found = compiling.getBytecodes()
        return {name: bytes(found[name]) for name in found}
    finally:
        gateway.shutdown()


def driver() -> Path:
    """The JDBC driver of PostgreSQL, which the lock has for Spark."""
    locked = yaml.safe_load(LOCK.read_text())["spark"]["files"]
    (coordinates,) = [
        file["maven"] for file in locked if "org.postgresql:postgresql:" in file.get("maven", "")
    ]
    path = CACHE / f"postgresql-{coordinates.rpartition(':')[2]}.jar"
    if not path.exists():
        sys.exit(f"{path} is not there. Run: make jars")
    return path


def main() -> None:
    """Build it."""
    version, target = sys.argv[1], Path(sys.argv[2])
    members = {
        "META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\nMain-Class: StandIn\n\n",
        "version.properties": f"tag={version}\n".encode(),
        **{f"{name}.class": content for name, content in compiled(HERE / "StandIn.java").items()},
    }
    with zipfile.ZipFile(driver()) as jar:
        for info in jar.infolist():
            if not info.is_dir() and info.filename not in members:
                members[info.filename] = jar.read(info)
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as jar:
        for name, content in members.items():
            jar.writestr(zipfile.ZipInfo(name, TIME), content)


if __name__ == "__main__":
    main()
