import sys,tempfile
from pathlib import Path
from bench.machine import cores, raise_descriptor_limit
from bench.processes import Stage
from bench.rig import Rig
from bench.peers import CONTESTANTS, DIRECT
from bench import wrk
n=raise_descriptor_limit()
d=Path(tempfile.mkdtemp(dir="/tmp")); d.chmod(0o755)
with Stage(d) as st:
    rig=Rig(st,cores(),n)
    for c in (DIRECT,*CONTESTANTS):
        if len(sys.argv)>1 and c.name not in sys.argv[1:]: continue
        for up in ("plain","live"):
          try:
            print(c.name, up, c.version())
            s=c.start(rig,getattr(rig,up),f"{c.name}-{up}")
            print(" start",s.seconds)
            if up=="plain":
                print("  ",wrk.load(f"http{'s' if s.tls else ''}://127.0.0.1:{s.port}/v1/chat/completions",connections=4,seconds=1,core=rig.cores.rest,fields=s.fields))
            else:
                with rig.agents(s.port,s.tls) as a:
                    print("  ",a.ask("open_streams",count=5,pace_us=10000,fields=dict(s.fields)))
                    print("  ",a.ask("events",seconds=0.5)); a.ask("close")
                    if "ws" not in c.cannot:
                      for defl in (False,True):
                        print("  ",a.ask("open_sockets",count=5,deflate=defl,fields=dict(s.fields)))
                        print("  ",a.ask("echoes",seconds=0.5,size=10000,deflate=defl)); a.ask("close")
                    print("  ",a.ask("uploads",seconds=0.1,size=10<<20,fields=dict(s.fields)))
          except Exception as e:
            print("  !!",type(e).__name__,e)
print(d)
