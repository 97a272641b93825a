"use strict";

// Playing at the video's own rate. Frames are left out where the machine is slower than the video; while a part loads, time
// stands still.

const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4], WAIT_MS = 150;
let isPlaying = false, speed = 1, anchor = null;

const anchorAt = (position) => { anchor = { time: performance.now(), position }; };

function setPlaying(isOn) {
  if (isOn === isPlaying || !clip) return;
  isPlaying = isOn;
  byId("play").classList.toggle("playing", isOn);
  byId("play").setAttribute("aria-label", isOn ? "Pause" : "Play");
  if (!isOn) {
    showNow();
    rememberSoon();
    return;
  }
  anchorAt(at >= clip.n_frames - 1 ? 0 : Math.max(0, at));
  requestAnimationFrame(tick);
}

async function tick() {
  if (!isPlaying) return;
  const last = clip.n_frames - 1, start = performance.now();
  let target = anchor.position + Math.floor((start - anchor.time) / 1000 * clip.rate_hz * speed), isOver = false;
  if (target > last) {
    isOver = !byId("loop").checked;
    target = isOver ? last : 0;
    if (!isOver) anchorAt(0);
  }
  if (target !== at) await goTo(target);
  if (performance.now() - start > WAIT_MS) anchorAt(wanted);
  if (isOver) setPlaying(false);
  requestAnimationFrame(tick);
}

// To a frame by hand: playing goes on from there.
async function seekTo(position) {
  const isShownNow = await goTo(position);
  if (isPlaying) anchorAt(wanted);
  if (isShownNow) rememberSoon();
}

const stepBy = (n) => { setPlaying(false); return seekTo(wanted + n); };

function setSpeed(wantedSpeed) {
  speed = wantedSpeed;
  byId("speed").value = String(speed);
  if (isPlaying) anchorAt(at);
  rememberSoon();
}

const otherSpeed = (n) => setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, SPEEDS.indexOf(speed) + n))]);

// The next or previous frame with a prompt.
function toPrompt(direction) {
  const places = [...new Set(sides.flatMap(({ prompts }) => prompts.map((prompt) => prompt.at)))].sort((one, other) => one - other);
  const next = direction > 0 ? places.find((place) => place > wanted) : places.reverse().find((place) => place < wanted);
  if (next !== undefined) stepBy(next - wanted);
}
