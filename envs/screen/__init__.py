"""Any game on the screen: its window is watched, its keys are pressed, and it plays in real time (docs/screen.md).

    display.py, x11.py   a display server behind one small interface: windows, pictures, the keys that are held
    keeper.py, orphans.py, lab.py   the process that alone presses keys and starts games, and ends both with the lab
    profile.py, profiles/ one small file per game: how to start it, its keys, its window, what can be read on it
    readers.py           digits, icons, bars and titles as numbers
    session.py, env.py   one running game, and games as Gymnasium environments
"""
