"""What each ``arssr`` command does: the actions behind `cli`, which is the only file that imports them."""
