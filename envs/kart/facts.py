"""What the kart game is, told without its kernels: its options, and its description."""

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.description import Description
from envs.kart.columns import NUMBERS
from envs.kart.driving import KartDriving
from envs.kart.options import CONTROLS, DISCRETE, KartOptions

Options = KartOptions  # name under which every game's module offers its own


def describe(options: KartOptions) -> Description:
    """The game with these options."""
    if options.picture is None:
        observation = Box(-20.0, 20.0, (NUMBERS,), np.float32)
    else:
        height, width, channels, _, _ = options.picture
        observation = Box(0, 255, (height, width, channels) if channels else (height, width), np.uint8)
    dims = CONTROLS[options.control]
    return Description(
        observation=observation,
        actions=Box(-1.0, 1.0, (dims,), np.float32) if dims else Discrete(len(DISCRETE)),
        frame_stack=options.stack or (4 if options.obs == "grey" else 1),
        frame_skip=options.action_repeat,
        protocol=options.protocol,
        chance=True,
        saves=True,
        two_players=False,
        scripted="expert",
        info={"expert": "expert_info", "numbers": "privileged_info", "drivable": "drivable_info"},
        driving=KartDriving(options),
        score_command="evaluate {run} --tracks test:20",
        memory=2**19,
        controls="by the option `control`: steering and target speed; steering, pedal and hand brake; or 15 choices",
        reward="metres driven along the track times `reward_progress`, and `reward_finish` at the end of the last lap,"
        " less what leaving the road and contacts cost",
        score="laps completed, with fraction; a race that is finished before the time limit counts as many laps as its"
        " mean pace would have made by then",
    )
