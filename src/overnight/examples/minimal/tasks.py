"""The tasks of this project."""

from overnight import Task


def hello(ctx, name="world", times=3):
    """Greet, and return what the run is to remember: anything that JSON can hold.

    It runs in a process of its own; what it prints is shown by `overnight runs logs ID`. A parameter named `ctx` is
    optional: through it the function tells how far it is, and hears that it is to stop (`ctx.cancelled`).
    """
    for number in range(1, times + 1):
        print(f"{number}: hello, {name}!")  # noqa: T201
        ctx.progress(number, times)
    return {"greeted": name, "times": times}


def configure(project):
    """Add the tasks; every command of `overnight` in this folder calls this."""
    project.add_task(
        Task(
            task_id="hello",
            action=hello,
            # Every five minutes, while `overnight run` works:
            # schedule="*/5 * * * *",
            # As soon as another task has completed:
            # after=["other"],
            # When it fails: three more tries, after 1, 2 and 4 minutes.
            max_retries=3,
            timeout_s=600,
        )
    )
