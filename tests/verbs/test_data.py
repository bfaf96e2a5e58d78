import json


def test_a_removal_is_noted_searched_and_applied(command, tmp_path):
    rows = [
        {"text": f"{i}番目の話。" + chr(0x4E00 + 50 * i) * 40, "id": f"話{i}",
         "url": f"https://s{i}.example/{i}"}
        for i in range(12)
    ]  # fmt: skip
    source = tmp_path / "話.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    data, file = tmp_path / "data" / "ja", tmp_path / "削除.txt"
    assert command("corpus", "build", source, "--out", data).exit_code == 0
    asked = ("data", "remove", file, "--hosts", "s3.example", "--ids", "話4", "話99")
    found = command(*asked, "--dataset", data, "--json").json()
    assert len(found["added"]) == found["entries"] == 3
    assert {row["id"] for row in found["found"]} == {"話3", "話4"}
    after = tmp_path / "data" / "after"
    built = command("corpus", "build", source, "--out", after, "--removals", file, "--json").json()
    assert built["notes"]["drops"]["asked to be removed"] == 2
    assert built["notes"]["num_documents"] == 10
    again = command("data", "remove", file, "--dataset", after)
    assert "holds 0 documents" in again.out


def test_nothing_to_do_is_refused(command, tmp_path):
    outcome = command("data", "remove", tmp_path / "r.txt")
    assert outcome.exit_code == 2
    assert "give --hosts, --urls or --ids" in outcome.err
    outcome = command("corpus", "build", tmp_path, "--out", "x", "--removals", tmp_path / "no")
    assert outcome.exit_code == 2
    assert "there is no file of removals" in outcome.err
