"""What `make up` says where it may not bring Docker."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_docker_that_does_not_answer_and_may_not_be_started(tmp_path: Path) -> None:
    """One line with the reason and both ways out."""
    # In a user namespace of its own, without a mapping, even root is an ordinary user.
    as_nobody = ["unshare", "--user", "--"] if os.getuid() == 0 else []
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "DOCKER_HOST": f"unix://{tmp_path}/docker.sock",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "cdc.lakehouse.screen",
    }
    done = subprocess.run(
        [*as_nobody, str(ROOT / ".venv/bin/ansible-playbook"), "lab/docker.yml"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    (said,) = done.stderr.strip().splitlines()
    assert "Docker does not answer" in said
    assert "make up` as root" in said
    assert "usermod -aG docker" in said


def test_sources_that_only_this_machine_can_read_are_not_given_to_the_nodes(tmp_path: Path) -> None:
    """Debian's cloud images name a file of theirs; the nodes' image keeps its own sources then."""
    sources = [
        "deb mirror+file:/etc/apt/mirrors/debian.list/ bookworm main",
        "deb https://mirror.example/debian/ bookworm-updates main",
        "deb https://mirror.example/debian/ trixie main",
    ]
    program = tmp_path / "apt-get"
    program.write_text("#!/bin/sh\nprintf '%s\\n' " + " ".join(f"'{line}'" for line in sources))
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "DOCKER_HOST": f"unix://{tmp_path}/docker.sock",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
    }
    done = subprocess.run(
        [str(ROOT / ".venv/bin/ansible-playbook"), "-v", "lab/image.yml"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    named = done.stdout.partition("TASK [Name the image after its inputs]")[2]
    assert "mirror.example/debian/ bookworm-updates main" in named
    assert "mirror+file" not in named
    assert "trixie" not in named
