"""The one player behind a window, a web page and a video.

source.py     what is watched: a game, a run, a checkpoint, a run that is training
seat.py       one agent in one game, or in N copies of it: decides, explains, or is taken over by a person
player.py     seats in step, and what a person does to them: pause, speed, take over, ...
human.py      keys and gamepads -> actions
panels.py     what stands beside the picture
overlay.py    what is drawn over it, and what the network sees
clip.py       the last 30 seconds
window.py, browser.py     the two places where people look
rows.py       recordings as rows of a dataset
"""
