"""The persistent compilation cache: what was compiled once starts at once the next time."""

import jax

from jgpt2 import storage


def enable_cache() -> None:
    """Keeps compiled programs under the user's cache folder, unless JAX was told another place.

    `JAX_COMPILATION_CACHE_DIR` names another folder, and `JAX_ENABLE_COMPILATION_CACHE=false`
    turns it off, as in any JAX program.
    """
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(storage.cache_folder() / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
