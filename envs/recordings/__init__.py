"""One room for recordings of play.

tub*.py    driving: the format of the DonkeyCar project, version 2; version 1 can be converted

numpy, Pillow and the standard library are enough, since the computer of a toy car uses this folder, too.
"""
