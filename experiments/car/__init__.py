"""Behind `drive`: the camera's thread, the network's, the loop that asks the guardian, the page, and recordings.

Neither torch, numba nor gymnasium is needed, since all of this runs on the car's own computer.
"""
