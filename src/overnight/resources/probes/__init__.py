"""What is really in use: of this machine's memory, by process trees and GPUs, and by services that tell."""
