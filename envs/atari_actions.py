"""How many actions each ALE game has in its minimal set, as ale-py says: known here without loading a ROM."""

_GAMES = {  # number of actions -> ROM ids
    3: "backgammon freeway skiing",
    4: "atlantis atlantis2 blackjack breakout casino kaboom",
    5: "frogger pacman surround tetris video_checkers",
    6: (
        "air_raid basic_math bowling carnival demon_attack galaxian king_kong name_this_game pong pooyan qbert "
        "sir_lancelot space_invaders up_n_down"
    ),
    7: "assault",
    8: "gopher phoenix tutankham",
    9: "asterix beam_rider crazy_climber enduro koolaid lost_luggage ms_pacman video_pinball",
    10: "amidar mr_do othello tic_tac_toe_3d time_pilot video_chess wizard_of_wor",
    12: "turmoil",
    14: "asteroids keystone_kapers kung_fu_master",
    16: "journey_escape",
    18: (
        "adventure alien bank_heist battle_zone berzerk boxing centipede chopper_command crossbow darkchambers "
        "defender donkey_kong double_dunk earthworld elevator_action entombed et fishing_derby flag_capture "
        "frostbite gravitar hangman haunted_house hero human_cannonball ice_hockey jamesbond kangaroo klax krull "
        "laser_gates mario_bros miniature_golf montezuma_revenge pitfall pitfall2 private_eye riverraid "
        "road_runner robotank seaquest solaris space_war star_gunner superman tennis trondead venture video_cube "
        "word_zapper yars_revenge zaxxon"
    ),
}
ACTIONS = {game: count for count, games in _GAMES.items() for game in games.split()}
