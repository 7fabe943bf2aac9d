"""Kart: a first-person racing game without ROM, display or GPU. The environment is in `envs.kart.env`."""


def __getattr__(name: str):
    # Lazy, so that `import envs.kart` costs nothing; the names below come from the environment module.
    if name in ("Options", "KartEnv", "KartVectorEnv", "make", "make_vec"):
        from envs.kart import env

        return getattr(env, name)
    raise AttributeError(f"module 'envs.kart' has no attribute {name!r}")
