"""The toy car as a game: the kart's engine with a car's motor, its camera, and traffic signs beside the road.

It needs numba and gymnasium; of the programs that run on the car only `envs.car.simulator` imports it.
"""
