"""JobSet and Kueue manifests: goldens, the cluster's schemas, planted faults, names, refusals."""

import copy
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from jgpt2.errors import InputError
from jgpt2.launch import accelerators, jobset, kueue, manifests, names

from . import cases

needs_schemas = pytest.mark.skipif(
    not (cases.ROOT.parent / "shared" / "crds").is_dir(),
    reason="the schemas of JobSet and Kueue are not at ../shared/crds",
)


def read(text):
    return list(yaml.safe_load_all(text))


def request(**changes):
    given = {
        "name": "small",
        "command": ["train"],
        "image": "i:1",
        "accelerator": accelerators.find("v5e-16"),
    }
    return jobset.Request(**given | changes)


@pytest.mark.parametrize("name", cases.JOBSETS)
def test_a_manifest_is_as_it_was(name):
    golden = cases.GOLDENS / f"{name}.yaml"
    assert cases.render(name) == golden.read_text("utf-8")


def test_the_queue_of_the_readme_is_as_it_was():
    assert cases.queue() == cases.QUEUE.read_text("utf-8")


def test_the_goldens_are_those_of_the_cases():
    assert {file.stem for file in cases.GOLDENS.glob("*.yaml")} == set(cases.JOBSETS)


@needs_schemas
@pytest.mark.parametrize("name", cases.JOBSETS)
def test_a_cluster_would_take_the_manifest(name):
    from . import schemas

    (manifest,) = read(cases.render(name))
    assert schemas.faults(manifest) == []


@needs_schemas
@pytest.mark.parametrize("flags", [(), ("--spot", "--namespace", "ml")])
def test_a_cluster_would_take_the_queue(flags):
    from . import schemas

    made = read(cases.queue(*flags))
    assert [one["kind"] for one in made] == ["ResourceFlavor", "ClusterQueue", "LocalQueue"]
    assert [fault for one in made for fault in schemas.faults(one)] == []


JOB = "spec replicatedJobs 0 template spec"
POD = f"{JOB} template spec"
MISSING = object()
PLANTED = {
    "a misspelt field of the policy": ("spec failurePolicy maxRestart", 3),
    "a rule without its name": ("spec failurePolicy rules 0 name", MISSING),
    "an action that does not exist": ("spec failurePolicy rules 0 action", "StopJobSet"),
    "a strategy that does not exist": ("spec failurePolicy restartStrategy", "Recreated"),
    "a number as text": (f"{JOB} parallelism", "4"),
    "a misspelt field of the job": (f"{JOB} backofLimit", 0),
    "a misspelt field of the pod": (f"{POD} nodeSelectr", {}),
    "an argument that is a number": (f"{POD} containers 0 args 5", 3e-4),
    "a container without a name": (f"{POD} containers 0 name", MISSING),
    "a secret in no known place": (
        f"{POD} containers 0 env",
        [{"name": "A", "valueFrom": {"secretRef": {"name": "hub", "key": "token"}}}],
    ),
    "exit codes as text": (f"{JOB} podFailurePolicy rules 0 onExitCodes values", ["2", "3"]),
    "a manifest without a name": ("metadata name", MISSING),
}


@needs_schemas
@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(fault):
    from . import schemas

    (manifest,) = read(cases.render("single-slice"))
    planted = copy.deepcopy(manifest)
    path, value = PLANTED[fault]
    *above, last = [int(step) if step.isdigit() else step for step in path.split()]
    parent = planted
    for step in above:
        parent = parent[step]
    if value is MISSING:
        del parent[last]
    else:
        parent[last] = value
    assert planted != manifest
    assert schemas.faults(planted)


@needs_schemas
def test_a_planted_fault_in_the_queue_is_found():
    from . import schemas

    _, cluster_queue, local_queue = read(cases.queue())
    cluster_queue["spec"]["resourceGroups"][0]["flavors"][0]["resources"][0]["nominalQuota"] = [64]
    local_queue["spec"]["clusterQueu"] = local_queue["spec"].pop("clusterQueue")
    assert schemas.faults(cluster_queue)
    assert schemas.faults(local_queue)


def answer(manifest, message):
    """What the JobSet's controller does about a job that failed with the message."""
    for rule in manifest["spec"]["failurePolicy"]["rules"]:
        if any(re.search(pattern, message) for pattern in rule["onJobFailureMessagePatterns"]):
            return rule["action"]
    return "RestartJobSet"


@pytest.mark.parametrize(
    ("ended", "action"),
    [
        ("Container main for pod d/p failed with exit code 2 matching", "FailJobSet"),
        ("Container main for pod d/p failed with exit code 3 matching", "FailJobSet"),
        (
            "Container main for pod d/p failed with exit code 42 matching",
            "RestartJobSetAndIgnoreMaxRestarts",
        ),
        ("Pod d/p has condition DisruptionTarget matching", "RestartJobSetAndIgnoreMaxRestarts"),
    ],
)
def test_a_job_that_a_rule_has_failed_is_answered_by_its_message(ended, action):
    # The messages are those of Kubernetes, pkg/controller/job/pod_failure_policy.go.
    manifest = jobset.manifest(request(max_restarts=4))
    assert answer(manifest, f"{ended} FailJob rule at index 0") == action


def test_any_other_failure_counts():
    manifest = jobset.manifest(request(max_restarts=4))
    assert manifest["spec"]["failurePolicy"]["maxRestarts"] == 4
    said = "Job has reached the specified backoff limit"
    assert answer(manifest, said) == "RestartJobSet"
    rules = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["podFailurePolicy"]["rules"]
    codes = [code for rule in rules for code in rule.get("onExitCodes", {}).get("values", [])]
    assert codes == [2, 3, 42]


def test_every_host_of_every_slice_gets_a_pod_with_its_chips():
    for row in accelerators.everything():
        spec = jobset.manifest(request(accelerator=row, slices=3))["spec"]["replicatedJobs"][0]
        job = spec["template"]["spec"]
        (container,) = job["template"]["spec"]["containers"]
        assert spec["replicas"] == 3
        assert job["parallelism"] == job["completions"] == row.hosts
        chips = container["resources"]["limits"]["google.com/tpu"]
        assert chips * job["parallelism"] == row.chips


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=4))
def test_arguments_arrive_as_they_were_given(command):
    (manifest,) = read(manifests.dump([jobset.manifest(request(command=command))]))
    pod = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    assert [expanded(argument) for argument in pod["containers"][0]["args"]] == command


def expanded(text):
    """What Kubernetes makes of an argument where every variable is known: `$$` is a dollar."""
    return re.sub(r"\$(\$|\(([^)]*)\))", lambda m: "$" if m[1] == "$" else f"<{m[2]}>", text)


@pytest.mark.parametrize("text", ["3e-4", "0o17", "1_000", "yes", "on", "null", "~", "2026-01-01"])
def test_what_yaml_could_read_as_something_else_is_quoted(text):
    written = manifests.dump([jobset.manifest(request(command=[text]))])
    (line,) = [line for line in written.splitlines() if line.strip(" -'\"") == text]
    assert line.strip(" -")[0] in "'\""


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip))
def test_any_name_becomes_one_that_a_cluster_takes(name):
    made = names.dns(name)
    assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", made)
    assert len(f"{made}-slice-999-9999-abcde") <= 63
    assert names.dns(made) == made
    manifest = jobset.manifest(request(name=name))
    assert manifest["metadata"]["annotations"]["jgpt2/name"] == name


def test_names_that_differ_stay_apart():
    given = ["港 の朝", "港 の夜", "Small", "small", "small!", "a" * 80, "a" * 81, "-", "run"]
    assert len({names.dns(name) for name in given}) == len(given)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": " "}, "the run has no name"),
        ({"slices": 0}, "--slices 0 is too small"),
        ({"max_restarts": -1}, "--max-restarts -1 is too small"),
        ({"grace_s": 0}, "--grace-s 0 is too small"),
        ({"variables": ["TZ"]}, "no NAME=VALUE"),
        ({"variables": ["1A=b"]}, "no NAME=VALUE"),
        ({"variables": ["HF_TOKEN=hf_abc"]}, "--secret HF_TOKEN=SECRET:KEY"),
        ({"secrets": ["HF_TOKEN"]}, "NAME=SECRET:KEY"),
        ({"secrets": ["HF_TOKEN=hf_abc"]}, "NAME=SECRET:KEY"),
        ({"secrets": ["HF_TOKEN=hub:"]}, "NAME=SECRET:KEY"),
    ],
)
def test_what_makes_no_manifest_is_refused(changes, said):
    with pytest.raises(InputError, match=re.escape(said)) as refusal:
        jobset.manifest(request(**changes))
    assert "hf_abc" not in str(refusal.value)


def test_a_queue_too_small_for_one_slice_is_refused():
    with pytest.raises(InputError, match="--chips 8 admits no v5e-16, which has 16"):
        kueue.manifests(accelerators.find("v5e-16"), queue="q", chips=8)


def test_a_manifest_goes_into_a_file(command, tmp_path):
    out = tmp_path / "出力 一" / "run.yaml"
    asked = ["--name", "x", "--image", "i:1", "--accelerator", "v5e-16", "--out", out]
    assert command("launch", "jobset", *asked, "--", "train").out == ""
    assert read(out.read_text("utf-8"))[0]["kind"] == "JobSet"
    assert [file.name for file in out.parent.iterdir()] == ["run.yaml"]
