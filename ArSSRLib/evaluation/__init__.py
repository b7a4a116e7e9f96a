"""How models are judged. Imports the engine, is never imported by it."""
