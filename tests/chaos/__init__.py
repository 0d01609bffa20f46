"""What happens to the promises when everything that can be lost is lost: real processes, real faults, one checker."""
