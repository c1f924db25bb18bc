"""What surrounds the code must agree with the code, with itself, and with good custom.

No engine and no cluster are needed: the files are read as what they are.
"""

import os
import re
import subprocess
import tomllib
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from stream.cli import COMMANDS
from stream.settings import Settings

Tree = dict[str, Any]

ROOT = Path(__file__).resolve().parents[1]
KUBERNETES = ROOT / "deploy/kubernetes"
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

YAMLS = sorted([COMPOSE, *ROOT.glob("deploy/**/*.yaml")])
PROSE = [
    *YAMLS,
    KUBERNETES / "settings.env",
    *(ROOT / name for name in (".env.example", "Dockerfile", "Makefile", "CHANGELOG.md")),
]

NAMES = {f"STREAM_{name.upper()}": field for name, field in Settings.model_fields.items()}
SECRETS = {name for name, field in NAMES.items() if "SecretStr" in str(field.annotation)}


def name_of(path: Path) -> str:
    """Name a file in a test's report."""
    return str(path.relative_to(ROOT))


def resources() -> Iterator[Tree]:
    """List what `kubectl apply -k` would create, but for the generated settings."""
    for name in kustomization()["resources"]:
        yield from yaml.safe_load_all((KUBERNETES / name).read_text("utf-8"))


def kustomization() -> Tree:
    """Read the list of what is applied."""
    tree: Tree = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text("utf-8"))
    return tree


def resource(kind: str) -> Tree:
    """Take the one resource of a kind."""
    (tree,) = (tree for tree in resources() if tree["kind"] == kind)
    return tree


def compose() -> Tree:
    """Read the services of the compose file."""
    services: Tree = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
    return services


def ours() -> Tree:
    """Take the services that run this product."""
    return {name: service for name, service in compose().items() if "build" in service}


def variables(path: Path) -> dict[str, str]:
    """Read an env file, with what is commented out."""
    lines = re.findall(r"^(?:# )?(STREAM_[A-Z_]+)=(.*)$", path.read_text("utf-8"), re.MULTILINE)
    assert len(lines) == len(dict(lines)), f"{name_of(path)} sets a variable twice"
    return dict(lines)


def accepted(values: dict[str, str]) -> Settings:
    """Read variables as a worker would."""
    fields: Tree = {name.removeprefix("STREAM_").lower(): value for name, value in values.items()}
    return Settings(_env_file=None, **fields)  # type: ignore[call-arg]


WORKLOADS = [tree for tree in resources() if "template" in tree["spec"]]
CONTAINERS: list[tuple[Tree, Tree]] = [
    (tree, container)
    for tree in WORKLOADS
    for kind in ("initContainers", "containers")
    for container in tree["spec"]["template"]["spec"].get(kind, [])
]
every_container = pytest.mark.parametrize(
    ("tree", "container"), CONTAINERS, ids=[container["name"] for _, container in CONTAINERS]
)


class _OnceOnly(yaml.SafeLoader):
    """YAML as it should be: a key that comes twice is a mistake, not a change of mind."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 (its signature)
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        assert len(keys) == len(set(keys)), f"twice the same key{node.start_mark}"
        return super().construct_mapping(node, deep=deep)


@pytest.mark.parametrize("path", YAMLS, ids=name_of)
def test_yaml_is_sound(path: Path) -> None:
    """Every file parses, and no key hides another."""
    assert all(yaml.load_all(path.read_text("utf-8"), Loader=_OnceOnly))


# Settings


@pytest.mark.parametrize("path", PROSE, ids=name_of)
def test_settings_that_are_named_exist(path: Path) -> None:
    """No file sets or speaks of a STREAM_… that the product does not read."""
    assert set(re.findall(r"STREAM_[A-Z_]*[A-Z]", path.read_text("utf-8"))) <= NAMES.keys()


def test_the_example_shows_every_setting_with_its_default() -> None:
    """Who copies .env.example changes nothing, and misses nothing."""
    defaults = {
        name: "" if (value := field.get_default()) is None else str(value)
        for name, field in NAMES.items()
    }
    assert variables(ROOT / ".env.example") == defaults
    assert not re.search(r"^STREAM_", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)


def test_the_settings_of_the_cluster_are_accepted() -> None:
    """Also with what is commented out for TLS."""
    accepted(variables(KUBERNETES / "settings.env"))


@pytest.mark.parametrize("service", ours().values(), ids=ours().keys())
def test_the_settings_of_compose_are_accepted(service: Tree) -> None:
    """Values that need no substitution pass the settings' own checks."""
    values = {k: str(v) for k, v in service["environment"].items() if "$" not in str(v)}
    accepted(values)


def test_no_secret_has_a_default() -> None:
    """A secret comes from whoever installs, or nothing starts."""
    for service in ours().values():
        for name in SECRETS & service["environment"].keys():
            assert re.fullmatch(rf"\$\{{{name}:\?[^}}]+\}}", service["environment"][name]), name
        assert "STREAM_SECRET" in service["environment"]

    assert not SECRETS & variables(KUBERNETES / "settings.env").keys()
    assert not [tree for tree in resources() if tree["kind"] == "Secret"]
    assert "secretGenerator" not in kustomization()
    given = [v for _, container in CONTAINERS for v in container.get("env", []) if "value" in v]
    assert not SECRETS & {variable["name"] for variable in given}
    example = yaml.safe_load((KUBERNETES / "secret.example.yaml").read_text("utf-8"))
    assert set(example["stringData"]) <= SECRETS
    assert not any(example["stringData"].values())

    assert not [name for name in SECRETS if re.search(rf"(ENV|ARG)\s.*{name}", DOCKERFILE)]
    assert not [value for name in SECRETS if (value := variables(ROOT / ".env.example")[name])]
    assert not [name for name in SECRETS if NAMES[name].get_default() is not None]


def test_what_the_cluster_takes_from_its_secret_is_in_the_example() -> None:
    """Every key that a container asks for by name can be looked up."""
    example = yaml.safe_load((KUBERNETES / "secret.example.yaml").read_text("utf-8"))
    asked = [
        variable["valueFrom"]["secretKeyRef"]
        for _, container in CONTAINERS
        for variable in container.get("env", [])
    ]
    assert {ref["key"] for ref in asked} <= example["stringData"].keys()
    assert {ref["name"] for ref in asked} <= {example["metadata"]["name"]}


# Commands and versions


def test_commands_that_are_run_exist() -> None:
    """The image, compose, Kubernetes, make and the comments call only what the CLI has."""
    run = [service["command"][0] for service in ours().values()]
    run += [container["args"][0] for _, container in CONTAINERS]
    run += re.findall(r'^CMD \["([a-z-]+)"', DOCKERFILE, re.MULTILINE)
    run += re.findall(r"\$\(BIN\)/stream ([a-z-]+)", (ROOT / "Makefile").read_text("utf-8"))
    run += [c for p in PROSE for c in re.findall(r"`stream ([a-z-]+)", p.read_text("utf-8"))]
    assert 'ENTRYPOINT ["stream"]' in DOCKERFILE
    assert "worker" in run
    assert "topics" in run
    assert set(run) <= COMMANDS.keys()


def test_the_image_has_a_python_that_the_package_accepts() -> None:
    """The base image's Python is within requires-python, in every stage."""
    pythons = re.findall(r"^FROM python:([\d.]+)", DOCKERFILE, re.MULTILINE)
    assert len(pythons) == len(re.findall(r"^FROM", DOCKERFILE, re.MULTILINE))
    assert all(version in SpecifierSet(PROJECT["requires-python"]) for version in pythons)
    assert len(set(pythons)) == 1, "an environment cannot move to another Python"


def test_image_and_package_carry_the_same_version() -> None:
    """Compose and Kubernetes run the version that this tree is."""
    (image,) = kustomization()["images"]
    assert {service["image"] for service in ours().values()} == {
        f"{image['name']}:{PROJECT['version']}"
    }
    assert image["newTag"] == PROJECT["version"]
    assert {container["image"] for _, container in CONTAINERS} == {image["name"]}
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_lock_fits_the_package() -> None:
    """Every dependency is pinned, to a version that pyproject.toml allows, by name alone."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    assert [
        line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line)
    ] == []
    pins = {canonicalize_name(name): version for name, version in (x.split("==") for x in lines)}
    wanted = [
        *PROJECT["dependencies"],
        *(r for x in PROJECT["optional-dependencies"].values() for r in x),
    ]
    for requirement in map(Requirement, wanted):
        assert pins.get(canonicalize_name(requirement.name), "none") in requirement.specifier, (
            requirement
        )


# Docker and compose


def test_the_image_does_not_run_as_root() -> None:
    """The last stage's user is a number, which is what runAsNonRoot can check, and not 0."""
    final = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    users = re.findall(r"^USER (\S+)", final, re.MULTILINE)
    assert int(users[-1].split(":")[0]) > 0


def test_the_image_is_built_from_what_is_let_in() -> None:
    """.dockerignore refuses everything but what the Dockerfile copies."""
    rules = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert "*" in rules
    assert {source for line in lines for source in line.split()} == let_in
    assert all((ROOT / name).exists() for name in let_in)


@pytest.mark.parametrize("service", compose().values(), ids=compose().keys())
def test_compose_services_are_kept_small(service: Tree) -> None:
    """On this machine only, without privileges, watched, and back after a crash."""
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert "network_mode" not in service
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["restart"] != "no"
    assert ("healthcheck" in service) != service["restart"].startswith("on-failure")
    assert ":" in service["image"]
    assert not service["image"].endswith(":latest")


def test_compose_starts_things_when_what_they_need_is_there() -> None:
    """A dependency is waited for by its health, or by its success if it ends."""
    services = compose()
    for service in services.values():
        for name, need in service.get("depends_on", {}).items():
            ends = services[name]["restart"].startswith("on-failure")
            assert need["condition"] == (
                "service_completed_successfully" if ends else "service_healthy"
            )


def test_compose_keeps_data_in_named_volumes() -> None:
    """What Kafka and Redis hold outlives their containers."""
    named = yaml.safe_load(COMPOSE.read_text("utf-8"))["volumes"]
    for name in ("kafka", "redis"):
        (volume,) = compose()[name]["volumes"]
        assert volume.split(":")[0] in named
    kafka = compose()["kafka"]
    assert kafka["volumes"][0].split(":")[1] == kafka["environment"]["KAFKA_LOG_DIRS"]


def test_compose_addresses_lead_to_its_services() -> None:
    """The worker's addresses are what Kafka advertises and where Redis listens."""
    kafka = compose()["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    for service in ours().values():
        assert service["environment"]["STREAM_KAFKA"] in {x.split("://")[1] for x in kafka}
        assert service["environment"]["STREAM_REDIS"].startswith("redis://redis:6379/")
    command = " ".join(compose()["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_one_port_for_the_page() -> None:
    """The page is served, exposed, published, probed and let through at the same port."""
    port = variables(KUBERNETES / "settings.env")["STREAM_WEB"].split(":")[1]
    (container,) = resource("Deployment")["spec"]["template"]["spec"]["containers"]
    service = resource("Service")
    worker = compose()["worker"]
    (rule,) = resource("NetworkPolicy")["spec"]["ingress"]
    assert {str(p["containerPort"]) for p in container["ports"]} == {port}
    assert {p["targetPort"] for p in service["spec"]["ports"]} == {
        p["name"] for p in container["ports"]
    }
    assert service["metadata"]["annotations"]["prometheus.io/port"] == port
    assert {str(p["port"]) for p in rule["ports"]} == {port}
    assert f"EXPOSE {port}\n" in DOCKERFILE
    assert worker["environment"]["STREAM_WEB"] == f"0.0.0.0:{port}"
    assert worker["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"127.0.0.1:{port}/readyz" in worker["healthcheck"]["test"][-1]


# Kubernetes


@every_container
def test_containers_have_no_more_rights_than_they_need(tree: Tree, container: Tree) -> None:
    """Not root, nothing to write to but what is mounted, no privileges, no token."""
    pod = tree["spec"]["template"]["spec"]
    security = {**pod.get("securityContext", {}), **container["securityContext"]}
    assert security["runAsNonRoot"] is True
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()


@every_container
def test_containers_are_watched_and_bounded(tree: Tree, container: Tree) -> None:
    """What runs on is probed; everything says what it needs and is stopped at a memory limit."""
    ports = {port["name"] for port in container.get("ports", [])}
    if tree["kind"] != "Job":
        probes = {
            name: container[f"{name}Probe"]["httpGet"]
            for name in ("startup", "liveness", "readiness")
        }
        assert {probe["port"] for probe in probes.values()} <= ports
        assert probes["readiness"]["path"] == "/readyz"
        assert probes["liveness"]["path"] == "/healthz", "a neighbour that is down restarts nobody"
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert "memory" in container["resources"]["limits"]


@every_container
def test_containers_can_write_where_the_image_works(tree: Tree, container: Tree) -> None:
    """The image's working directory is mounted, because the root file system is read-only."""
    (directory,) = re.findall(
        r"^WORKDIR (\S+)", DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :], re.MULTILINE
    )
    volumes = {volume["name"]: volume for volume in tree["spec"]["template"]["spec"]["volumes"]}
    mounted = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    assert "emptyDir" in mounted[directory]
    assert all(
        service["tmpfs"] == [directory] for service in ours().values() if service["read_only"]
    )


@every_container
def test_containers_refer_to_settings_that_are_made(tree: Tree, container: Tree) -> None:
    """The names of the config map and of the secret are those that are created."""
    example = yaml.safe_load((KUBERNETES / "secret.example.yaml").read_text("utf-8"))
    made = {generator["name"] for generator in kustomization()["configMapGenerator"]}
    for source in container["envFrom"]:
        assert source.get("configMapRef", {"name": ""})["name"] in {"", *made}
        assert source.get("secretRef", {"name": ""})["name"] in {"", example["metadata"]["name"]}
    assert tree["spec"]["template"]["spec"]["enableServiceLinks"] is False, (
        "they would set STREAM_…"
    )


def test_selectors_choose_the_workers_and_nothing_else() -> None:
    """Service, disruption budget and Deployment mean the workers; the network policy means all."""
    worker = resource("Deployment")["spec"]["template"]["metadata"]["labels"].items()
    topics = resource("Job")["spec"]["template"]["metadata"]["labels"].items()
    service, budget = resource("Service")["spec"], resource("PodDisruptionBudget")["spec"]
    for selector in (
        service["selector"],
        budget["selector"]["matchLabels"],
        resource("Deployment")["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= worker
        assert not selector.items() <= topics
    everyone = resource("NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items()
    assert everyone <= worker
    assert everyone <= topics


def test_every_manifest_is_applied_but_the_example() -> None:
    """No file is forgotten, and the example of a secret is never applied."""
    files = {path.name for path in KUBERNETES.glob("*.yaml")}
    assert files - set(kustomization()["resources"]) == {
        "kustomization.yaml",
        "secret.example.yaml",
    }


def test_workers_of_the_cluster_all_have_work() -> None:
    """There are no more replicas than partitions."""
    partitions = accepted(variables(KUBERNETES / "settings.env")).partitions
    assert resource("Deployment")["spec"]["replicas"] <= partitions


# Make and CI


def test_make_alone_names_every_target() -> None:
    """`make` prints what can be made, and leaves nothing out."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    help_ = subprocess.run(
        ["make", "-C", ROOT, "-s"], check=True, capture_output=True, text=True
    ).stdout
    assert set(re.findall(r"^  make ([a-z]+)", help_, re.MULTILINE)) == set(phony.split())


def test_ci_can_be_run() -> None:
    """.ci/run is executable and calls what the README calls."""
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert {"setup", "check", "bench", "test"} == set(
        re.findall(r"\bmake ([a-z]+)", script.read_text("utf-8"))
    )
