"""The toy car on its own computer: cameras, drivers, and the guardian that stands between a program and the wheels.

numpy, Pillow, onnxruntime and the standard library are enough here, and the guardian needs the standard library alone:
no torch, no numba, no gymnasium, and nothing of another game. What a device needs (gpiozero, picamera2) is imported
where the device is opened.

    camera.py       `CarCamera`: open(), read(timeout) -> Picture | None, close(); `open_camera` makes one from a word
    driver.py       `CarDriver`: write(steer, throttle), neutral(), close(); `open_driver` makes one from a word
    calibration.py  what a car's own steering and motor need, in a file that driver and page share
    simulator.py    `SimulatedCar(track, seed, ...)`: apply(steer, throttle), advance(seconds), picture(); it needs
                    numba and gymnasium, and nothing else here imports it when it is loaded
    model.py        `CarModel`: a folder with trunk.onnx, head.onnx and model.json, run by onnxruntime
    rules.py        what stops the car, as a machine of states without clock, process or device
    guardian.py     the process that owns the driver; messages.py are its words, link.py is the program's end
"""


class CarError(ValueError):
    """Something about the car that a person can mend; the message is one sentence that says how."""
