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


def test_a_video_that_never_begins_takes_nothing_away(tmp_path):
    from experiments.video import Video

    path = tmp_path / "old.mp4"
    path.write_bytes(b"an older one")
    with pytest.raises(ZeroDivisionError), Video(path, 30):
        raise ZeroDivisionError
    assert path.read_bytes() == b"an older one"
    with Video(tmp_path / "new.mp4", 30):
        pass
    assert not (tmp_path / "new.mp4").exists()
    for name in ("x.GIF", "x.MP4"):
        with Video(tmp_path / name, 30) as video:
            video.write(np.zeros((64, 64, 3), np.uint8))
        assert (tmp_path / name).stat().st_size > 100
    with pytest.raises(ValueError, match="must end in .mp4 or .gif"):
        Video(tmp_path / "x.avi", 30)


def test_a_gif_that_grows_too_large_ends_with_what_there_is(tmp_path, monkeypatch):
    from PIL import Image

    from experiments import video
    from experiments.cli import UserError

    monkeypatch.setattr(video, "LARGEST_GIF", 3 * 448 * 448)
    with pytest.raises(UserError, match="an .mp4 may be longer"), video.Video(tmp_path / "x.gif", 20) as out:
        for shade in range(9):
            out.write(np.full((64, 64, 3), 20 * shade, np.uint8))
    with Image.open(tmp_path / "x.gif") as image:
        assert image.n_frames == 3


def test_a_clip_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    from experiments.cli import UserError
    from experiments.video import Video
    from experiments.watching.clip import Clip

    clip, told = Clip(30, tmp_path / "clips"), []
    clip.save("x", told.append)
    assert told == ["nothing was shown yet"] and not (tmp_path / "clips").exists()
    for size in (32, 64, 64):
        clip.add(np.zeros((size, size, 3), np.uint8))
    clip.save("x", told.append)
    clip.wait()
    assert told[-1] == f"saved the last 0.1 s as {tmp_path / 'clips' / 'x-1.mp4'}"

    def full(video, picture):
        raise UserError("is the disk full?")

    monkeypatch.setattr(Video, "write", full)
    clip.save("x", told.append)
    clip.wait()
    assert told[-1] == "the clip could not be written: is the disk full?"
