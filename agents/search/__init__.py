"""Tree search for two-player zero-sum games given as compiled rules. Torch-free; knows no particular game.

`search.Search` is what callers use; `evaluators` says how leaves are judged, `puct` and `gumbel` how moves are chosen.

Every value of this package lies in [-1, 1]: +1 a win, 0 a draw, -1 a loss of the side that the value speaks for.
"""
