"""The player in a browser: masks on every frame, lanes, prompts, settings side by side, addresses, keys, playing."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from made_runs import made_run
from made_videos import drawn, write_frames

from browser_faults import faults
from maskgrid.config.models import Config
from maskgrid.dataset.annotations.objects import Prompt
from maskgrid.io.tables import read_table
from maskgrid.masks import rle
from maskgrid.masks.pictures import colour
from maskgrid.plan.plan import make_plan
from maskgrid.tracked.parameters import Reading
from maskgrid.tracked.player.data import FRAMES_IN_PART, Parts, write_player
from maskgrid.tracked.player.page import player_page
from maskgrid.tracked.player.verify import check_player
from maskgrid.tracked.prompts.checked import VideoPrompt

N_FRAMES, HEIGHT, WIDTH = 40, 48, 64
# Read from frame 2 on, every third.
FIRST, STEP = 2, 3
HOSTILE = "</script><b>ä"
# The frame that was asked for is drawn in full.
READY = """new Promise((done) => {
  const isDrawn = () => clip && at === wanted && !isAsked && !isPlaying;
  const look = () => (isDrawn() || !byId("failed").hidden ? done() : setTimeout(look, 15));
  setTimeout(look, 40);
})"""


def made_masks(n_objects):
    """Discs that move and grow; the second is out of sight on frames 10 to 14, the third comes at frame 20."""
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    masks = np.zeros((N_FRAMES, n_objects, HEIGHT, WIDTH), bool)
    for frame in range(N_FRAMES):
        for number in range(n_objects):
            centre, radius = (12 + 14 * number, 10 + frame), 6 + number + frame / 10
            masks[frame, number] = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
    masks[10:15, 1] = False
    if n_objects > 2:
        masks[:20, 2] = False
    return masks


def prompt(number, frame, **parts):
    return VideoPrompt("a", 0, number, f"id {number}", None, None, frame, 0, Prompt(**parts), "ok", None)


def prompts(masks):
    return [
        prompt(1, FIRST, point_coords=np.array([[10.0, 12.0], [60.0, 40.0]]), point_labels=np.array([1, 0])),
        prompt(1, FIRST + 30 * STEP, box_xyxy=np.array([20.0, 2.0, 50.0, 24.0])),
        prompt(2, FIRST, mask_counts=rle.encode(masks[0, 1])),
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The page's folder, and the runs by setting with their masks: two settings of a video, one of another."""
    folder = tmp_path_factory.mktemp("player")
    write_frames(folder / "a", drawn(n_frames=N_FRAMES * STEP + FIRST, size_hw=(HEIGHT, WIDTH)).frames)
    write_frames(folder / HOSTILE.replace("/", "-"), drawn(n_frames=3, size_hw=(HEIGHT, WIDTH)).frames)
    runs, masks = {}, {"baseline": made_masks(3), "few": made_masks(2)}
    for setting, given in masks.items():
        (folder / setting).mkdir()
        run, reading = made_run(folder / "a", given, folder / setting, FIRST, STEP)
        name = run.name if setting == "baseline" else f"{run.name}@{setting}"
        runs[setting] = replace(run, name=name, setting=setting)
        shown = prompts(given) if setting == "baseline" else []
        write_player(runs[setting], reading, shown, folder / "player" / name)
    other, reading = made_run(folder / HOSTILE.replace("/", "-"), masks["few"][:3], folder)
    runs["other"] = replace(other, video=replace(other.video, video_key=HOSTILE))
    write_player(runs["other"], reading, [], folder / "player" / other.name)
    tracking = {"source": "clips", "sweep": {"points": [{"name": "few", "max_objects": 2}]}}
    plan = make_plan(Config.model_validate({"tracking": tracking}), folder, folder / "results")
    (folder / "player.html").write_bytes(player_page(plan, list(runs.values()), "f" * 64))
    return folder, runs, masks


@pytest.fixture
def opened(made, tab):
    """Open the player at an address, and wait for its frame."""

    def go(address="", page=made[0] / "player.html", width=1300, height=900, is_dark=False):
        tab.send("Page.navigate", url="about:blank")
        tab.show(page, width, height, is_dark, address)
        tab.run(READY)
        return tab

    return go


# Which mask is at the middle of each of the video's pixels, by colour; 0 for none. Row by row.
LABELS = """(() => {
  const pane = panes(nPanes())[PANE], { scale, x, y } = lookInto(pane), [height, width] = clip.size_hw, found = [];
  const shade = new Map(sides[PANE].objects.map((one) => [String(one.colour), one.id]));
  const { data: pixels } = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let row = 0; row < height; row++) for (let column = 0; column < width; column++) {
    const left = Math.floor(pane.left + (column + 0.5 - x) * scale);
    const top = Math.floor(pane.top + (row + 0.5 - y) * scale);
    const place = 4 * (top * canvas.width + left);
    found.push(shade.get(String([pixels[place], pixels[place + 1], pixels[place + 2]])) ?? 0);
  }
  return found;
})()"""
PLAIN = "opacity=100&names=0&prompts=0"


def labels(tab, pane=0):
    return np.array(tab.run(LABELS.replace("PANE", str(pane)))).reshape(HEIGHT, WIDTH)


def expected(run, frame):
    """The number of the object on top of each pixel: smaller masks lie on larger ones."""
    rows = read_table(run.path, ["object_id", "frame", "counts", "area_px"], [("frame", "=", frame)]).to_pylist()
    plane = np.zeros((HEIGHT, WIDTH), int)
    for row in sorted(rows, key=lambda row: -row["area_px"]):
        plane[rle.decode(row["counts"], (HEIGHT, WIDTH))] = row["object_id"]
    return plane


def test_the_masks_drawn_are_those_of_the_table(opened, made):
    _, runs, _ = made
    tab = opened(f"video=a&{PLAIN}")
    assert tab.run("clip.n_frames") == N_FRAMES
    for position in (0, 12, 15, 16, 25, N_FRAMES - 1):  # with gaps, and across parts
        assert tab.run(f"goTo({position})")
        wanted = expected(runs["baseline"], FIRST + STEP * position)
        assert wanted.any()
        assert np.array_equal(labels(tab), wanted), position


def test_the_frames_are_those_of_the_video(opened):
    tab = opened("video=a&masks=0")
    pixels = drawn(n_frames=N_FRAMES * STEP + FIRST, size_hw=(HEIGHT, WIDTH)).frames
    for position in (0, 17, N_FRAMES - 1):
        tab.run(f"goTo({position})")
        size = tab.run("[current.picture.naturalWidth, current.picture.naturalHeight]")
        mean = tab.run(
            """(() => { const { data } = context.getImageData(canvas.width / 2 - 20, canvas.height / 2 - 20, 40, 40);
              let sum = 0;
              for (let place = 0; place < data.length; place += 4) sum += data[place];
              return sum / 1600; })()"""
        )
        middle = pixels[FIRST + STEP * position][HEIGHT // 2 - 2 : HEIGHT // 2 + 2, WIDTH // 2 - 2 : WIDTH // 2 + 2, 0]
        assert size == [WIDTH, HEIGHT]
        assert abs(mean - middle.mean()) < 25


def test_two_settings_are_side_by_side_with_objects_of_their_own(opened, made):
    _, runs, _ = made
    tab = opened(f"video=a&frame={FIRST + 25 * STEP}&beside=few&{PLAIN}")
    for pane, setting in enumerate(("baseline", "few")):
        assert np.array_equal(labels(tab, pane), expected(runs[setting], FIRST + 25 * STEP)), setting
    titles = tab.run("[...document.querySelectorAll('.lane.side')].map((one) => one.textContent)")
    assert titles == ["A: baseline", "B: few: max_objects 2"]
    tab.run("toggle('B1', false)")
    tab.run(READY)
    assert 1 in labels(tab, 0)
    assert 1 not in labels(tab, 1)


def test_lanes_show_sight_gaps_prompts_and_scores(opened):
    tab = opened("video=a")
    words = tab.run("[...lanes.values()].map(({ strip }) => strip.getAttribute('aria-label'))")
    last = FIRST + STEP * (N_FRAMES - 1)
    assert words == [
        f"1: in sight on frames 2 to {last}; prompts on frames 2, 92",
        f"2: in sight on frames 2 to {FIRST + 9 * STEP}, {FIRST + 15 * STEP} to {last}; prompts on frames 2",
        f"3: in sight on frames {FIRST + 20 * STEP} to {last}",
    ]
    column = """((key, position) => {
      const { strip } = lanes.get(key), step = (strip.clientWidth - THUMB_PX) / (clip.n_frames - 1);
      const x = Math.round(THUMB_PX / 2 + step * position);
      return [...strip.getContext("2d").getImageData(x, 0, 1, strip.height).data]; })"""
    for key, position, is_seen in (("1", 5, True), ("2", 5, True), ("2", 12, False), ("3", 10, False), ("3", 30, True)):
        pixels = np.array(tab.run(f"{column}({key!r}, {position})")).reshape(-1, 4)
        is_bar = (np.abs(pixels[:, :3] - np.array(colour("masklet", int(key)))) < 8).all(1) & (pixels[:, 3] > 180)
        assert (is_bar.sum() >= 8) == is_seen, (key, position)
    assert tab.run("lanes.get('1').object.score[3]") == 88  # of a logit of 2
    assert tab.run("lanes.get('1').now.textContent").startswith("88 %, ")


def test_prompts_are_drawn_on_their_frame(opened):
    script = """((x, y) => { const { scale, x: left, y: top } = lookInto(panes(1)[0]);
      const place = [Math.round((x - left) * scale) - 9, Math.round((y - top) * scale)];
      return [...context.getImageData(...place, 1, 1).data]; })"""
    near_point = f"{script}(10, 12)"
    shown = opened(f"video=a&frame={FIRST}&masks=0&names=0").run(near_point)
    tab = opened(f"video=a&frame={FIRST}&masks=0&names=0&prompts=0")
    assert shown != tab.run(near_point)
    tab.run("byId('show-prompts').click()")
    tab.run(READY)
    assert tab.run(near_point) == shown
    tab.run("toPrompt(1)")
    tab.run(READY)
    assert tab.run("numberOf(at)") == FIRST + 30 * STEP
    # The box's left edge is a white line with a dark one on both sides.
    row = np.array([tab.run(f"{script}(20 + ({9 + px}) / lookInto(panes(1)[0]).scale, 12)")[:3] for px in range(-3, 4)])
    assert row.min(1).max() > 220
    assert row[0].max() < 200 or row[-1].max() < 200


def press(tab, key, modifiers=0):
    for kind in ("keyDown", "keyUp"):
        tab.send("Input.dispatchKeyEvent", type=kind, key=key, modifiers=modifiers)
    tab.run(READY)
    return tab.run("at")


def test_keys_step_and_choose(opened):
    tab = opened("video=a")
    assert [press(tab, key) for key in (".", "ArrowRight", ",", "End", "ArrowLeft", "Home")] == [1, 2, 1, 39, 38, 0]
    assert press(tab, "ArrowRight", modifiers=8) == 10
    assert [press(tab, "p"), press(tab, "P", modifiers=8)] == [30, 0]
    press(tab, ">")
    assert tab.run("speed") == 2
    tab.run("choose('2')")
    press(tab, "s")
    assert tab.run("[...lanes.keys()].filter(isShown)") == ["2"]
    press(tab, "Escape")
    assert tab.run("[solo, chosen]") == [None, None]
    press(tab, "+")
    assert tab.run("view.zoom") == pytest.approx(1.25)
    press(tab, "0")
    press(tab, "j")
    assert tab.run("[clip.key, clip.n_frames]") == [HOSTILE, 3]
    press(tab, "k")
    assert tab.run("clip.key") == "a"


def test_a_click_on_a_mask_chooses_its_object(opened):
    tab = opened("video=a")
    x, y = tab.run(
        """(() => { const { scale, x, y } = lookInto(panes(1)[0]), box = canvas.getBoundingClientRect(), unit = ratio();
          return [box.left + (10.5 - x) * scale / unit, box.top + (26.5 - y) * scale / unit]; })()"""
    )
    for kind in ("mousePressed", "mouseReleased"):
        tab.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    assert tab.run("chosen") == "2"
    assert tab.run("document.querySelector('[aria-current=true]').dataset.key") == "2"


def test_a_link_brings_everything_back(opened):
    state = {
        "video": "a",
        "frame": str(FIRST + 7 * STEP),
        "setting": "few",
        "beside": "baseline",
        "off": "2,B3",
        "chosen": "1",
        "speed": "0.25",
        "loop": "1",
        "outlines": "1",
        "names": "0",
        "opacity": "30",
        "zoom": "2.5",
        "x": "30",
        "y": "24",
    }
    tab = opened("&".join(f"{name}={value}" for name, value in state.items()))
    tab.run("remember(false)")
    assert tab.run("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))") == state
    assert tab.run("[at, sides.map((side) => side.setting), [...lanes.keys()].filter(isShown)]") == [
        7,
        ["few", "baseline"],
        ["1", "B1", "B2"],
    ]


@pytest.mark.parametrize(
    ("address", "words"),
    [("video=b", "There is no video b here."), ("video=a&frame=nothing&off=9&speed=7&zoom=x&setting=none", "")],
)
def test_nonsense_in_a_link_does_no_harm(opened, address, words):
    tab = opened(address)
    assert tab.run("byId('failed').hidden ? '' : byId('failed').textContent") == words
    assert tab.run("clip === null || at === 0")


def test_playing_ends_on_the_last_frame_or_begins_again(opened):
    tab = opened(f"video=a&frame={FIRST + 20 * STEP}&speed=4")
    tab.run("setPlaying(true)")
    tab.run("new Promise((done) => { const look = () => (isPlaying ? setTimeout(look, 30) : done()); look(); })")
    assert tab.run("at") == N_FRAMES - 1
    assert tab.run("byId('play').getAttribute('aria-label')") == "Play"
    tab.run("byId('loop').click(); goTo(38).then(() => setPlaying(true))")
    began = """new Promise((done) => {
      const look = () => (at > 20 || !isPlaying ? setTimeout(look, 20) : done(at));
      setTimeout(look, 60); })"""
    assert tab.run(began) <= 20
    assert tab.run("isPlaying")
    tab.run("setPlaying(false)")


def test_few_parts_stay_in_memory(opened):
    tab = opened("video=a&beside=few")
    n_parts = -(-N_FRAMES // FRAMES_IN_PART)
    assert n_parts == 3
    tab.run("for (let n = 0; n < 40; n++) partOf('frames', 'made', n, (one) => one).catch(() => {}); 0")
    assert tab.run("kept.frames.size") <= 5


def test_nothing_moves_while_frames_change(opened):
    places = """["canvas", "play", "number", "scrub", "timeline", "show-masks"]
      .map((id) => byId(id).getBoundingClientRect())
      .map(({ left, top, width, height }) => [left, top, width, height])"""
    for width, height in ((1400, 900), (390, 844)):
        tab = opened("video=a&beside=few", width=width, height=height)
        before = tab.run(places)
        for position in (12, 25, 39):
            tab.run(f"seekTo({position})")
            assert tab.run(places) == before
        assert tab.run("document.documentElement.scrollWidth") <= width


def test_axe_calls_nothing_serious(made, tab):
    assert faults(tab, made[0] / "player.html", READY) == []


def test_playhead_and_slider_are_at_the_same_place(opened):
    tab = opened("video=a")
    for position in (0, 13, 39):
        tab.run(f"goTo({position})")
        x, lane = tab.run(
            """(() => { const { left, width } = lanes.get("1").strip.getBoundingClientRect();
              const inLane = left + THUMB_PX / 2 + (width - THUMB_PX) * at / (clip.n_frames - 1);
              return [byId("playhead").getBoundingClientRect().left + 1, inLane]; })()"""
        )
        assert x == pytest.approx(lane, abs=1)


def test_what_is_missing_is_named(opened, made, tmp_path):
    copy = shutil.copytree(made[0], tmp_path / "copy")
    (copy / "player" / "a" / "masks-00001.js").unlink()
    tab = opened("video=a", page=copy / "player.html")
    assert tab.run("byId('failed').hidden")
    tab.run("goTo(20)")
    assert tab.run("byId('failed').textContent") == "player/a/masks-00001.js is not beside this page"
    assert tab.run("goTo(3)")
    assert tab.run("byId('failed').hidden")


def test_of_a_video_that_is_gone_the_masks_are_left(opened, made, tmp_path):
    copy = shutil.copytree(made[0], tmp_path / "copy")
    run = replace(made[1]["baseline"], video=replace(made[1]["baseline"].video, path=b"/nowhere"))
    write_player(run, Reading(FIRST, None, STEP, 10**8), [], copy / "player" / run.name)
    tab = opened(f"video=a&frame={FIRST}&{PLAIN}", page=copy / "player.html")
    assert np.array_equal(labels(tab), expected(run, FIRST))


@pytest.mark.parametrize(
    ("damage", "kind", "name"),
    [
        (lambda path: path.unlink(), "missing", "frames-00002.js"),
        (lambda path: path.write_bytes(path.read_bytes()[:-3]), "truncated", "masks-00000.js"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"f" * 64, b"0" * 64)), "stale", "objects.js"),
        (None, "missing", None),
    ],
)
def test_damage_is_found(made, tmp_path, damage, kind, name):
    folder = shutil.copytree(made[0] / "player" / "a", tmp_path / "a")
    parts = Parts.of(made[1]["baseline"])
    assert list(check_player(folder, parts, lambda: "f" * 64)) == []
    assert len(list(folder.iterdir())) == 7
    if damage is None:
        shutil.rmtree(folder)
    else:
        damage(folder / name)
    (problem,) = check_player(folder, parts, lambda: "f" * 64)
    assert (problem.kind, problem.path) == (kind, folder / name if name else folder)
    few = made[0] / "player" / "a@few"
    assert {path.name for path in few.iterdir()} == {"objects.js", *(f"masks-0000{n}.js" for n in range(3))}


def test_the_same_masks_give_the_same_bytes(made, tmp_path):
    folder, runs, masks = made
    write_player(runs["baseline"], Reading(FIRST, None, STEP, 10**8), prompts(masks["baseline"]), tmp_path / "again")
    for path in sorted((folder / "player" / "a").iterdir()):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
