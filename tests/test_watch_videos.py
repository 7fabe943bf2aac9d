"""Videos of play: exact frames and lengths, sizes, milestones that are joined."""

import numpy as np
import pytest
from programs import program

from experiments import watch
from experiments.watching import panels

pytestmark = pytest.mark.usefixtures("dummy_display")


@pytest.mark.parametrize("suffix", ["mp4", pytest.param("gif", marks=pytest.mark.slow)])
def test_a_video_with_panels_has_the_exact_frames_and_length(runs, tmp_path, capsys, monkeypatch, suffix):
    path = tmp_path / f"out.{suffix}"
    argv = ["flappy", "--video", str(path), "--seconds", "2", "--panels", "--overlay", "gradient"]
    assert program(watch.main, [*argv, "--runs", str(runs)], capsys, monkeypatch)[0] == 0
    if suffix == "mp4":
        import imageio_ffmpeg

        frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
        assert frames == 60 and seconds == pytest.approx(2, abs=0.02)  # the game has 30 pictures per second
        return
    from PIL import Image

    with Image.open(path) as image:
        assert image.size == (288 + panels.WIDTH, 512)
        lengths = []
        for i in range(image.n_frames):
            image.seek(i)
            lengths.append(image.info["duration"])
    assert sum(lengths) == pytest.approx(2000, abs=10)  # ms; equal pictures are stored once, with their whole time


def test_a_small_gif_is_enlarged_by_a_whole_factor(tmp_path):
    from PIL import Image

    from experiments.video import Video, size_of

    picture = np.arange(210 * 160 * 3, dtype=np.uint32).reshape(210, 160, 3) // 400 % 256
    for high, wide, expected in (
        (210, 160, (320, 420)),
        (400, 600, (600, 400)),
        (84, 84, (420, 420)),
        (7, 5, (300, 420)),
    ):
        with Video(tmp_path / "x.gif", 20) as video:
            video.write(np.resize(picture.astype(np.uint8), (high, wide, 3)))
        assert size_of(tmp_path / "x.gif") == expected
    with Video(tmp_path / "y.gif", 20) as video:
        video.write(np.repeat(np.repeat(np.uint8([[[0, 0, 0], [255, 255, 255]]]), 105, 0), 80, 1))
    shown = np.asarray(Image.open(tmp_path / "y.gif").convert("L"))
    assert (shown[:, :320] < 9).all() and (shown[:, 320:] > 246).all()  # no blur


def test_stages_are_joined(runs, tmp_path, capsys, monkeypatch):
    import imageio_ffmpeg

    path = tmp_path / "stages.mp4"
    argv = ["gym:CartPole-v1", "--milestones", "--seconds", "0.2", "--video", str(path), "--runs", str(runs)]
    assert program(watch.main, argv, capsys, monkeypatch)[0] == 0
    assert imageio_ffmpeg.count_frames_and_secs(str(path))[0] == 4 * 10
    code, _, err = program(
        watch.main, ["pong", "--milestones", "--video", str(path), "--runs", str(runs)], capsys, monkeypatch
    )
    assert code == 2 and "has kept no milestones" in err
