"""The next image is read while the network runs, and one image's failure does not affect others."""

import threading

import pytest

from corpus import encode, scene
from killing import RememberingNetwork, tiny_plan
from maskgrid.automatic.generate import stage as generation
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.automatic.generate.stage import generate_shard
from maskgrid.dataset.index import index_dataset
from maskgrid.dataset.pixels.images import BadImageError, ImageStatus
from maskgrid.dataset.pixels.windows import open_picture
from maskgrid.io.errors import MachineError
from maskgrid.io.journal import journal_folder
from maskgrid.io.tables import read_table

PASS = "crop0-grid4"


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "source").mkdir()
    for number in range(5):
        (tmp_path / "source" / f"{number}.png").write_bytes(encode(scene(40 + number, 60), "PNG"))
    plan = tiny_plan(
        tmp_path / "source", tmp_path / "results", sweep=None, dataset={"source": str(tmp_path / "source")}
    )
    index_dataset(plan)
    return plan


def statuses(plan):
    return read_table(plan.layout.pass_images(plan.runs[0], "all"))["status"].to_pylist()


class Beside(RememberingNetwork):
    """A network that starts on an image only once the next one is being read, and can fail on one image."""

    def __init__(self, network, n_images, fails_at=None):
        super().__init__(network)
        self.n_images, self.fails_at, self.heights = n_images, fails_at, []
        self.begun = [threading.Event() for _ in range(n_images)]

    def run(self, image, *others):
        number = image.size_hw[0] - 40
        self.heights.append(image.size_hw[0])
        if number + 1 < self.n_images:
            assert self.begun[number + 1].wait(60), "the next image is not being read"
        if number == self.fails_at:
            raise MachineError("the device has gone")
        return super().run(image, *others)


def test_only_the_next_image_is_read_while_the_network_runs(plan, demo_model, monkeypatch):
    network = Beside(Proposer(demo_model), 5)
    read = []

    def spy(path, *others):
        number = int(path.stem)
        assert number <= len(network.heights) + 1, "two images are held at most"
        read.append(number)
        network.begun[number].set()
        return open_picture(path, *others)

    monkeypatch.setattr(generation, "open_picture", spy)
    generate_shard(plan, "demo", PASS, "all", load=network.load)
    assert read == [0, 1, 2, 3, 4]
    assert network.heights == [40, 41, 42, 43, 44]
    assert statuses(plan) == ["ok"] * 5


def test_an_unreadable_image_gets_a_row_in_its_place(plan, demo_model, monkeypatch):
    def fail(path, *others):
        if path.stem in ("0", "3"):
            raise BadImageError(ImageStatus.MISSING, "gone")
        return open_picture(path, *others)

    monkeypatch.setattr(generation, "open_picture", fail)
    generate_shard(plan, "demo", PASS, "all", load=RememberingNetwork(Proposer(demo_model)).load)
    assert statuses(plan) == ["missing", "ok", "ok", "missing", "ok"]


def test_an_image_read_ahead_is_not_recorded_as_done_if_the_device_fails(plan, demo_model, monkeypatch, caplog):
    network = Beside(Proposer(demo_model), 5, fails_at=2)

    def spy(path, *others):
        network.begun[int(path.stem)].set()
        return open_picture(path, *others)

    monkeypatch.setattr(generation, "open_picture", spy)
    with pytest.raises(MachineError):
        generate_shard(plan, "demo", PASS, "all", load=network.load)
    parts = journal_folder(plan.layout.candidates(plan.runs[0], "all")).glob("*.1.arrow")
    assert sorted(int(part.name[:6]) for part in parts) == [0, 1]
    network.fails_at, network.heights = None, []
    caplog.set_level("INFO")
    generate_shard(plan, "demo", PASS, "all", load=network.load)
    assert network.heights == [42, 43, 44]
    assert statuses(plan) == ["ok"] * 5
    assert "2 of 5 images were finished before" in caplog.text


def test_a_process_that_finds_every_image_finished_says_so(plan, demo_model, monkeypatch, caplog):
    network = RememberingNetwork(Proposer(demo_model))

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(generation, "write_rows", stopped)
    with pytest.raises(KeyboardInterrupt):
        generate_shard(plan, "demo", PASS, "all", load=network.load)
    monkeypatch.undo()
    caplog.set_level("INFO")
    generate_shard(plan, "demo", PASS, "all", load=lambda *_: pytest.fail("no image is left for the network"))
    assert "5 of 5 images were finished before" in caplog.text
    assert statuses(plan) == ["ok"] * 5
