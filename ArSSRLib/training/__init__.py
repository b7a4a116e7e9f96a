"""How models are made. Imports the engine, is never imported by it."""
