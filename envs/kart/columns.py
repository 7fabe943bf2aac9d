"""Names of the columns of the flat arrays that the kernels share, and numbers that the game is described by.

Units: metres, seconds, radians. Nothing here is compiled.

World axes: x east, y south (as on a map drawn on the screen), angles clockwise from x. So everything that is
positive to the driver's right stays positive: steering, lateral offset, heading error, yaw rate, curvature.
"""

SUBSTEP = 0.01  # length of a substep of the physics, s
SUBSTEPS = 5  # substeps per control step, so control runs at 20 Hz
CONTROL = SUBSTEP * SUBSTEPS  # length of a control step, s
TOP_SPEED = 16.0  # highest target speed, m/s; the engine alone reaches about 14
FREE_SPEED = 32.0  # speed of an electric motor without load at full throttle, m/s
MAX_STEER = 0.45  # angle of the front wheels at full lock, rad
MAX_DELAY = 10  # largest delay of an action, control steps
NUMBERS = 21  # entries of the `state` observation

# One row per point of a track's centreline (Track.line, float64).
X, Y = 0, 1  # position of the point
TX, TY = 2, 3  # unit tangent in driving direction; the right-hand normal is (-TY, TX)
BEND = 4  # curvature, 1/m, positive in right-hand bends
WALL_L, WALL_R = 5, 6  # distance from the centreline to the wall, left and right, both positive
KERB_L, KERB_R = 7, 8  # width of the kerb outside the road's edge
RACE = 9  # lateral offset of the racing line
PACE = 10  # speed that the racing line allows with nominal grip, m/s
LINE_COLUMNS = 11

# One row per kart (float64). Velocities are those of the world, not of the kart's body.
POS_X, POS_Y, YAW, VEL_X, VEL_Y, YAW_RATE = 0, 1, 2, 3, 4, 5
WHEEL = 6  # angle of the front wheels
BOOST = 7  # seconds of boost left
ACCEL = 8  # forward acceleration of the last substep, moves load between the axles
INDEX = 9  # nearest centreline point
ALONG = 10  # arc length along the centreline, 0..length
LATERAL = 11  # offset from the centreline
HEADING = 12  # yaw minus the direction of the track, -pi..pi
PROGRESS = 13  # metres driven along the track, unwrapped; 0 at the line where laps are counted
ROUGH = 14  # roughness of the ground, 0 on asphalt and kerbs .. 1 on grass
IMPACT = 15  # largest impact speed since the control step began
SLIP = 16  # slip angle of the rear axle
SKILL = 17  # rivals: fraction of the expert's speed; player: 1
MARK = 18  # PROGRESS when the kart last counted as getting on
IDLE = 19  # seconds since MARK was set
KART_COLUMNS = 20

# The race of one environment's player (float64).
CLOCK = 0  # seconds since the start
STEPS = 1  # control steps since the start
LAP_START = 2  # CLOCK when the present lap began
LAST_LAP, BEST_LAP = 3, 4  # s, nan before the first
GATE = 5  # checkpoints passed, GATES in a lap
FINISH = 6  # CLOCK at the end of the last lap, nan before
OFF_NOW, OFF_TOTAL = 7, 8  # seconds off the road without a break, and in all
RESCUES, CONTACTS = 9, 10  # rescues and contacts so far
DELAY = 11  # control steps until an action arrives
WOBBLE = 12  # present noise on the steering
PLACE = 13  # place in the race, 1 is first
RACE_COLUMNS = 14
GATES = 8

# Dynamics of one environment (float64), what `random_dynamics` varies.
GRIP, POWER, BRAKE, STEER_GAIN, STEER_BIAS, DRAG = 0, 1, 2, 3, 4, 5
DYNAMICS_COLUMNS = 6

# Objects that stand beside or on the track (float64).
ITEM_X, ITEM_Y, ITEM_KIND, ITEM_SIZE, ITEM_ALONG = 0, 1, 2, 3, 4
ITEM_COLUMNS = 5
CONE, SIGN_LEFT, SIGN_RIGHT, SCENERY_A, SCENERY_B, SCENERY_C, STOP_SIGN, GIVE_WAY = 0, 1, 2, 3, 4, 5, 6, 7
ITEM_KINDS = 8

# Boost pads (float64): a rectangle along and across the track.
PAD_START, PAD_END, PAD_LEFT, PAD_RIGHT = 0, 1, 2, 3
PAD_COLUMNS = 4

# Sizes of the padded arrays of a batch.
MAX_POINTS, MAX_ITEMS, MAX_PADS, MAX_DETAILS = 512, 96, 4, 6144
GRID = 192  # cells of the ground map per side
CELL = 1.0  # metres per cell
FAR = 99.0  # lateral offset where no part of the track is near
# One row for each ground cell where more than grass or asphalt may lie (float32): linear inside the cell, by the
# place in it, 0..1 to the east and to the south.
OFFSET, OFFSET_X, OFFSET_Y = 0, 1, 2  # lateral offset from the centreline
ARC, ARC_X, ARC_Y = 3, 4, 5  # arc length along the centreline, near the start line from below 0
KERB_WIDE, KERB_RATE = 6, 7  # width of the kerb at ARC 0, as if it changed evenly, and its change per metre
DETAIL_COLUMNS = 8

# Ground cells (int16): nothing but grass or asphalt, or DETAIL + a row of details.
GRASS, ASPHALT, DETAIL = 0, 1, 2
