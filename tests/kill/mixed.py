# What `cargo xtask kill` kills: SQLite in two journal modes, git commits, logs, replaced files. Prints what tests/support/src/kill.rs
# reads. Everything is numbered, and number N is whole or not there.
import hashlib, os, shutil, sqlite3, subprocess, sys

base, turn = "/kill", int(sys.argv[1])
os.makedirs(base, exist_ok=True)
os.chdir(base)


def say(text):
    os.write(1, (text + "\n").encode())


def content(n):
    return f"{n} {hashlib.sha256(str(n).encode()).hexdigest()} ".encode() * (1 + n % 60)


def sync(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def git(*args, check=True):
    done = subprocess.run(["git", "-C", "repo", *args], capture_output=True, text=True)
    if check and done.returncode:
        say(f"bad git {args[0]}: {done.stdout} {done.stderr}".replace("\n", " "))
    return done.stdout.strip()


def database(name):
    db = sqlite3.connect(name, isolation_level=None)
    if name == "wal":
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = full")
    else:
        # FULL does not bring the journal's removal to the medium: the transaction could be rolled back.
        db.execute("pragma synchronous = extra")
    db.execute("create table if not exists t(n integer primary key, c blob)")
    check = db.execute("pragma quick_check").fetchone()[0]
    if check != "ok":
        say(f"bad {name}: {check}".replace("\n", " "))
    last, rows = db.execute("select coalesce(max(n), 0), count(*) from t where n > (select coalesce(max(n), 0) from t) - 100").fetchone()
    if rows != min(last, 100):
        say(f"bad {name}: {rows} rows to {last}")
    for n, c in db.execute("select n, c from t where n > ?", (last - 20,)):
        if c != content(n):
            say(f"bad {name}: row {n}")
    say(f"has {name} {last}")
    return db, last


def insert(db, n):
    db.execute("begin")
    db.execute("insert into t values(?, ?)", (n, content(n)))
    db.execute("delete from t where n <= ?", (n - 300,))
    db.execute("commit")


def last_file(directory):
    os.makedirs(directory, exist_ok=True)
    last = 0
    for name in os.listdir(directory):
        if name.endswith(".new"):
            continue
        data = open(f"{directory}/{name}", "rb").read()
        n = int(data.split(b" ", 1)[0] or 0) if data else 0
        if data != content(n) or n % 40 != int(name):
            say(f"bad {directory}/{name}: {data[:40]}")
        last = max(last, n)
    return last


def replace(directory, n):
    name = f"{directory}/{n % 40}"
    with open(name + ".new", "wb") as f:
        f.write(content(n))
        f.flush()
        os.fsync(f.fileno())
    os.rename(name + ".new", name)
    sync(directory)


wal, in_wal = database("wal")
rollback, in_rollback = database("rollback")
files = last_file("files")
say(f"has files {files}")
if not os.path.isdir("repo/.git") or not os.path.exists("repo/made"):
    shutil.rmtree("repo", ignore_errors=True)
    subprocess.run(["git", "init", "-q", "repo"], check=True)
    for key, value in [("user.name", "k"), ("user.email", "k@example.org"), ("core.fsync", "all"), ("core.fsyncMethod", "fsync"),
                       ("gc.auto", "0"), ("maintenance.auto", "false")]:
        git("config", key, value)
    os.sync()
    open("repo/made", "w").close()
    os.sync()
for directory, _, names in os.walk("repo/.git"):
    for name in names:
        if name.endswith(".lock"):
            # As git asks for after a crash.
            os.unlink(f"{directory}/{name}")
if turn % 20 == 19:
    found = subprocess.run(["git", "-C", "repo", "fsck", "--no-dangling", "--no-progress"], capture_output=True, text=True)
    wrong = [l for l in (found.stdout + found.stderr).splitlines() if "unborn" not in l and not l.startswith("notice:")]
    if wrong:
        say(f"bad git fsck: {wrong}")
subject = git("log", "-1", "--format=%s", check=False)
commits = int(subject or 0)
if commits and git("show", "HEAD:file") != content(commits).decode().strip():
    say("bad git: the last commit's file")
say(f"has git {commits}")
say("ready")
while True:
    in_wal += 1
    insert(wal, in_wal)
    say(f"did wal {in_wal}")
    files += 1
    replace("files", files)
    say(f"did files {files}")
    if in_wal % 3 == 0:
        in_rollback += 1
        insert(rollback, in_rollback)
        say(f"did rollback {in_rollback}")
    if in_wal % 8 == 0:
        commits += 1
        with open("repo/file", "wb") as f:
            f.write(content(commits))
        git("add", "file")
        git("commit", "-q", "-m", str(commits))
        # git makes objects durable, and names them in an order that survives; that the last name is on the medium, this says.
        os.sync()
        say(f"did git {commits}")
