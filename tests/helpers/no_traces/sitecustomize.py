"""Read by Python as it starts, where this folder is on PYTHONPATH: no process is started and no file written.

What libraries keep for themselves in the folder of the user, such as a list of fonts, is let through; the user's folder
of a test is a scratch one. So is the search of ctypes for a shared library, which asks the compiler: torch for CUDA
does that while it is imported.
"""

import os
import sys

_CACHES = [os.path.join(os.path.expanduser("~"), folder) for folder in (".cache", ".config")]
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree"}
_STARTS = {"subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn"}
_SEARCH = os.path.join("ctypes", "util.py")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def searching():
    frame = sys._getframe()
    while frame is not None and not frame.f_code.co_filename.endswith(_SEARCH):
        frame = frame.f_back
    return frame is not None


def refuse_traces(event, arguments):
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES
    if not writes and event not in _CHANGES and event not in _STARTS:
        return
    path = "" if event in _STARTS else os.path.abspath(os.fsdecode(arguments[0]))
    if path != os.devnull and not any(path.startswith(cache) for cache in _CACHES) and not searching():
        raise PermissionError(f"no trace is to be left: {event} {arguments}")


sys.addaudithook(refuse_traces)
