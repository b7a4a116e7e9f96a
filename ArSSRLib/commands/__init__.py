"""The actions of the ``arssr`` commands; only `cli` imports them."""
