"""Published scores of the 49 games of Mnih et al. (2015), Extended Data Table 2.

The human is a professional tester, who played each game about 20 times for at most 5 minutes. Protocol `nature`: 30
no-ops, epsilon 0.05 (docs/protocols.md), games of at most 5 minutes. Later papers use another table of 57 games; the
two are never mixed.
"""

from envs.description import Published

NATURE: dict[str, Published] = {
    "alien": Published(227.8, 6875, 3069, 1093),
    "amidar": Published(5.8, 1676, 739.5, 3024),
    "assault": Published(222.4, 1496, 3359, 775),
    "asterix": Published(210, 8503, 6012, 1744),
    "asteroids": Published(719.1, 13157, 1629, 542),
    "atlantis": Published(12850, 29028, 85641, 17600),
    "bank_heist": Published(14.2, 734.4, 429.7, 650),
    "battle_zone": Published(2360, 37800, 26300, 7725),
    "beam_rider": Published(363.9, 5775, 6846, 1619),
    "bowling": Published(23.1, 154.8, 42.4, 88),
    "boxing": Published(0.1, 4.3, 71.8, 8.4),
    "breakout": Published(1.7, 31.8, 401.2, 26.9),
    "centipede": Published(2091, 11963, 8309, 5237),
    "chopper_command": Published(811, 9882, 6687, 2916),
    "crazy_climber": Published(10781, 35411, 114103, 22797),
    "demon_attack": Published(152.1, 3401, 9711, 2406),
    "double_dunk": Published(-18.6, -15.5, -18.1, 2.6),
    "enduro": Published(0, 309.6, 301.8, 24.6),
    "fishing_derby": Published(-91.7, 5.5, -0.8, 19.0),
    "freeway": Published(0, 29.6, 30.3, 0.7),
    "frostbite": Published(65.2, 4335, 328.3, 250.5),
    "gopher": Published(257.6, 2321, 8520, 3279),
    "gravitar": Published(173, 2672, 306.7, 223.9),
    "hero": Published(1027, 25763, 19950, 158),
    "ice_hockey": Published(-11.2, 0.9, -1.6, 2.5),
    "jamesbond": Published(29, 406.7, 576.7, 175.5),
    "kangaroo": Published(52, 3035, 6740, 2959),
    "krull": Published(1598, 2395, 3805, 1033),
    "kung_fu_master": Published(258.5, 22736, 23270, 5955),
    "montezuma_revenge": Published(0, 4367, 0, 0),
    "ms_pacman": Published(307.3, 15693, 2311, 525),
    "name_this_game": Published(2292, 4076, 7257, 547),
    "pong": Published(-20.7, 9.3, 18.9, 1.3),
    "private_eye": Published(24.9, 69571, 1788, 5473),
    "qbert": Published(163.9, 13455, 10596, 3294),
    "riverraid": Published(1339, 13513, 8316, 1049),
    "road_runner": Published(11.5, 7845, 18257, 4268),
    "robotank": Published(2.2, 11.9, 51.6, 4.7),
    "seaquest": Published(68.4, 20182, 5286, 1310),
    "space_invaders": Published(148, 1652, 1976, 893),
    "star_gunner": Published(664, 10250, 57997, 3152),
    "tennis": Published(-23.8, -8.9, -2.5, 1.9),
    "time_pilot": Published(3568, 5925, 5947, 1600),
    "tutankham": Published(11.4, 167.6, 186.7, 41.9),
    "up_n_down": Published(533.4, 9082, 8456, 3162),
    "venture": Published(0, 1188, 380.0, 238.6),
    "video_pinball": Published(16257, 17298, 42684, 16287),
    "wizard_of_wor": Published(563.5, 4757, 3393, 2019),
    "zaxxon": Published(32.5, 9173, 4977, 1235),
}

# Aitchison et al. (2022). Phoenix is none of the 49 games, so it has no published score here.
ATARI5 = ("battle_zone", "double_dunk", "name_this_game", "phoenix", "qbert")
