"""The program of strategy learning."""
