"""The front door: one page that leads to all others. `house.join` adds it to any server of the lab.

house.py        the page: what it serves, and what it is asked for
games.py        every game with its best agent, and the scores of others
thumbnails.py   a few seconds of an agent as one picture
ledger.py       the run folders as JSON, read again where they have changed
jobs.py         programs in processes of their own: trainings that go on when the server ends
visits.py       pages of watching, boards and recordings, opened in the same server
"""
