/*
 * One key of a strict kind. A master and a replica, which may lose any tail of what the master acknowledged; two processes,
 * each with L1, a subscription and a reader; writers. Invalidations of another key use up sequence numbers.
 *
 * World:   NW writes, NO other invalidations, NF failovers, LOGLEN length of the log; NOR0 and NOR1 leave out a reader,
 *          TWOWRITERS adds a writer.
 * Faults:  DROP messages are lost, LEXP leases expire, SPLIT the old master lives on, NOKILL connections survive a failover,
 *          CRASH process 0 dies, QUEUE Redis goes away and invalidations are kept.
 * Rules:   STAMP entries of another epoch are not used; SRVREAD the server's epoch is compared at each read; MINREPL, RDREPL,
 *          HBWRITE a master without replicas refuses writes, reads, heartbeats; REPLYEPOCH an answer of another history is
 *          no answer; RELAY an outbox; BARRIER reads wait for the outbox's mark; RINGATSEND, EPCONN, WAITACK, QRESOLVES,
 *          RELAYSILENT variants. WITHOUT_… leaves out a rule that is otherwise there.
 */
#ifndef NW
#define NW 2          /* committed writes of K */
#endif
#ifndef NO
#define NO 0          /* invalidations of another key (consume seq numbers) */
#endif
#ifndef NF
#define NF 0          /* failovers */
#endif
#ifndef LOGLEN
#define LOGLEN 2
#endif
#define NONE 9
#ifdef NOR0
#define HBON(p) (p==1)
#else
#ifdef NOR1
#define HBON(p) (p==0)
#else
#define HBON(p) 1
#endif
#endif
#define max(a,b) ((a)>(b) -> (a) : (b))

typedef Node { byte val; byte vep; byte lease; byte seq; bit c0; bit c1; byte ep; byte mark; bit master };
Node n[2];
byte cur = 0;              /* latest promoted master */
byte nextep = 2;
byte src = 1;              /* committed version in the source */
byte floor = 1;            /* newest version whose invalidation has resolved (global) */
byte nw = 0, no = 0, nf = 0, pend = 0;

byte conn[2], kep[2], kseq[2], l1[2], pfloor[2], own[2];
bit  sync[2], pois[2], needre[2], ring[2], dead[2], queued[2];
chan q0 = [3] of { byte, byte, bit };
chan q1 = [3] of { byte, byte, bit };
bit relaydirty = 0;

#ifdef DROP
#define PUB1(qq,pp,nd,c) if :: (conn[pp]==nd && !dead[pp] && len(qq)<3) -> qq!n[nd].ep,n[nd].seq,c :: skip fi
#else
#define PUB1(qq,pp,nd,c) if :: (conn[pp]==nd && !dead[pp] && len(qq)<3) -> qq!n[nd].ep,n[nd].seq,c :: (conn[pp]!=nd || dead[pp] || len(qq)>=3) -> skip fi
#endif

/* script INV for key K (c=1) or other (c=0) at node nd */
inline INV(nd,c) {
  n[nd].seq++;
  n[nd].c1 = n[nd].c0; n[nd].c0 = c;
  if :: c -> n[nd].val = 0; n[nd].vep = 0;
#ifndef WITHOUT_LEASE_DELETE
       n[nd].lease = 0;
#endif
     :: else fi;
#ifndef NOR0
  PUB1(q0,0,nd,c);
#endif
#ifndef NOR1
  PUB1(q1,1,nd,c);
#endif
}
inline COPY(d,s) { n[d].val=n[s].val; n[d].vep=n[s].vep; n[d].lease=n[s].lease; n[d].seq=n[s].seq; n[d].c0=n[s].c0; n[d].c1=n[s].c1; n[d].mark=n[s].mark }
#define REPL_OK(nd)  (NF==0 || nd==cur)          /* a reachable replica follows nd */
inline DROPL1(p) { l1[p]=0; pois[p]=1 }

/* catch up from the log of node nd (same epoch) */
inline CATCH(p,nd) {
  if
  :: n[nd].seq == kseq[p] -> skip
  :: n[nd].seq == kseq[p]+1 -> if :: n[nd].c0 -> DROPL1(p) :: else fi; kseq[p]=n[nd].seq
#if LOGLEN>1
  :: n[nd].seq == kseq[p]+2 -> if :: n[nd].c0 || n[nd].c1 -> DROPL1(p) :: else fi; kseq[p]=n[nd].seq
  :: n[nd].seq > kseq[p]+2 || n[nd].seq < kseq[p] -> DROPL1(p); kseq[p]=n[nd].seq
#else
  :: n[nd].seq > kseq[p]+1 || n[nd].seq < kseq[p] -> DROPL1(p); kseq[p]=n[nd].seq
#endif
  fi
}

/* connect/relearn: subscribe first, then read (ep,seq) in one step */
proctype Sub(byte p; chan qq) {
  byte e,s,hep,hseq,hfl; bit c; bit hb=0;
end_sub:
  do
  :: atomic { dead[p] -> goto end_dead }
  /* message */
  :: atomic { (!dead[p] && len(qq)>0) -> qq?e,s,c;
      if
#ifndef WITHOUT_EPOCH_COMPARISON
      :: e != kep[p] -> DROPL1(p); sync[p]=0          /* other epoch: never adopt from a message, relearn */
      :: e == kep[p] && s <= kseq[p] -> skip
      :: e == kep[p] && s == kseq[p]+1 -> if :: c -> DROPL1(p) :: else fi; kseq[p]=s
      :: e == kep[p] && s > kseq[p]+1 ->
#else
      :: s <= kseq[p] -> skip
      :: s == kseq[p]+1 -> if :: c -> DROPL1(p) :: else fi; kseq[p]=s
      :: s > kseq[p]+1 ->
#endif
#ifdef WITHOUT_GAP
            if :: c -> DROPL1(p) :: else fi; kseq[p]=s
#else
            /* gap: drop (log read is exercised by the heartbeat) */ DROPL1(p); kseq[p]=s
#endif
      fi; e=0;s=0;c=0 }
  /* heartbeat request answered by the node the process is connected to */
  :: atomic { HBON(p) && !dead[p] && !hb && sync[p] && conn[p]!=NONE -> hep=n[conn[p]].ep; hseq=n[conn[p]].seq; hfl=floor; hb=1
#ifdef HBWRITE
       ; if :: !REPL_OK(conn[p]) -> hb=0; hep=0;hseq=0;hfl=0 :: else fi
#endif
     }
  /* reply processed */
  :: atomic { hb ->
      if
      :: !sync[p] || conn[p]==NONE -> skip
#ifndef WITHOUT_EPOCH_COMPARISON
      :: sync[p] && conn[p]!=NONE && hep != kep[p] -> DROPL1(p); sync[p]=0
      :: sync[p] && conn[p]!=NONE && hep == kep[p] ->
#else
      :: sync[p] && conn[p]!=NONE ->
#endif
         if
         :: hseq > kseq[p] ->
#ifndef WITHOUT_EPOCH_COMPARISON
            if :: n[conn[p]].ep == kep[p] -> CATCH(p,conn[p]); pfloor[p]=max(pfloor[p],hfl)
               :: else -> DROPL1(p); sync[p]=0 fi
#else
            CATCH(p,conn[p]); pfloor[p]=max(pfloor[p],hfl)
#endif
         :: hseq <= kseq[p] -> pfloor[p]=max(pfloor[p],hfl)
         fi
      fi; hb=0; hep=0; hseq=0; hfl=0 }
  /* (re)connect / relearn */
  :: atomic { !dead[p] && !hb && (conn[p]==NONE || !sync[p] || conn[p]!=cur || !n[conn[p]].master) ->
      conn[p]=cur; do :: (len(qq)>0) -> qq?e,s,c :: (len(qq)==0) -> break od; e=0;s=0;c=0;
      if
#ifndef WITHOUT_EPOCH_COMPARISON
      :: n[cur].ep != kep[p] -> DROPL1(p); kep[p]=n[cur].ep; kseq[p]=n[cur].seq;
           if :: ring[p] ->
#ifndef WITHOUT_REISSUE
                needre[p]=1
#else
                skip
#endif
              :: else fi
      :: n[cur].ep == kep[p] -> CATCH(p,cur)
#else
      :: 1 -> kep[p]=n[cur].ep; CATCH(p,cur)
#endif
      fi;
      pfloor[p]=max(pfloor[p],floor);
      if :: needre[p] || queued[p] -> sync[p]=0 :: else -> sync[p]=1 fi;
      if :: needre[p] || queued[p] -> goto reissue :: else fi }
  od;
reissue:
  /* re-issue own ring (and queued) invalidations in the new epoch before trusting */
  if
  :: atomic { !dead[p] && conn[p]==cur && n[cur].master -> INV(cur,1);
       if :: queued[p] -> queued[p]=0; floor=max(floor,own[p]); :: else fi;
       needre[p]=0; sync[p]=1; DROPL1(p) ; if :: n[cur].ep != kep[p] -> needre[p]=ring[p]; sync[p]=0 :: else fi }
  :: atomic { dead[p] || conn[p]!=cur -> sync[p]=0 }
  fi;
  goto end_sub;
end_dead: skip
}

proctype Reader(byte p) {
  byte v,fl,ow,fep,tok,nd,kf; bit flip=0;
end_r:
  do
  :: atomic { dead[p] -> goto end_d }
  :: atomic { !dead[p] && sync[p] && l1[p] != 0 ->
#ifndef NOP3
       assert(l1[p] >= pfloor[p]);      /* P3: nothing older than what had resolved at the last proof */
       assert(l1[p] >= own[p] || queued[p]);         /* P4 */
#endif
     }
  :: atomic { !dead[p] && sync[p] && conn[p]!=NONE && l1[p]==0 -> pois[p]=0; fl=floor; ow=own[p]; kf=kep[p] };
     /* L2 read */
     atomic {
       nd=conn[p]; v=0; fep=0;
       if :: dead[p] || nd==NONE || !sync[p] || kep[p]!=kf -> goto rs
          :: else fi;
       fep=n[nd].ep;
       if
       :: n[nd].val != 0
#ifdef SRVREAD
          && n[nd].ep == kep[p]
#endif
#ifdef BARRIER
          && n[nd].mark == kep[p]
#endif
#ifdef STAMP
          && n[nd].vep == kep[p]
#endif
#ifdef RDMASTER
          && n[nd].master
#endif
#ifdef RDREPL
          && REPL_OK(nd)
#endif
          -> v = n[nd].val;
#ifndef NOP2
             assert(v >= fl); /* P2 */
#endif
#ifndef NOP4
             assert(v >= ow); /* P4 */
#endif
             goto ins
       :: else
       fi;
       /* miss: lease in the same trip */
       tok = 1 + 2*p + flip; flip = 1-flip;
       if :: n[nd].master && n[nd].lease==0
#ifdef MINREPL
          && REPL_OK(nd)
#endif
#ifdef SRVREAD
          && n[nd].ep == kep[p]
#endif
            -> n[nd].lease=tok
          :: else -> goto rs       /* somebody else loads: bypass, store nothing */
       fi };
     /* load from source */
     atomic { v = src };
     /* FILL script */
     atomic {
       if :: dead[p] || conn[p]==NONE || !n[conn[p]].master -> goto rs
          :: else -> nd=conn[p] fi;
       if
       :: 1
#ifdef MINREPL
          && REPL_OK(nd)
#endif
#ifndef WITHOUT_LEASE_CHECK
          && n[nd].lease==tok
#endif
#ifndef WITHOUT_EPOCH_AT_FILL
#ifdef EPCONN
          && kep[p]==kf
#else
          && n[nd].ep==fep
#endif
#endif
          -> n[nd].val=v; n[nd].vep=n[nd].ep; n[nd].lease=0;
#ifndef NOP1
             assert(v >= floor)      /* P1 (L2) */
#endif
       :: else -> goto rs
       fi };
ins:
     atomic {
       if
       :: !dead[p] && sync[p]
#ifndef WITHOUT_L1_FENCE
          && !pois[p]
#endif
          -> 
#ifdef STRICTL1
             assert(v >= floor);
#endif
             l1[p]=v
       :: else
       fi };
rs:  atomic { v=0;fl=0;ow=0;fep=0;tok=0;nd=0;kf=0 }
  od;
end_d: skip
}

proctype Writer(byte p) {
  byte v=0, e=0, nd=0;
end_w:
  do
  :: atomic { !dead[p] && nw < NW -> nw++; src++; v=src; pend++;
#ifdef CRASH
 relaydirty=1
#endif
 };
     
     goto inv
  :: atomic { no < NO && !dead[p] && conn[p]!=NONE && n[conn[p]].master -> no++; nd=conn[p]; INV(nd,0); nd=0 }
  :: atomic { dead[p] -> goto end_d }
  od;
inv:
  if
  :: atomic { dead[p] -> pend--; goto end_d }
#ifdef CRASH
  :: atomic { p==0 && !dead[0] -> dead[0]=1; conn[0]=NONE; sync[0]=0; l1[0]=0; ring[0]=0; needre[0]=0; pend--; goto end_d }
#endif
#ifdef QUEUE  /* API resolves when queued during an outage */
  :: atomic { conn[p]==NONE -> queued[p]=1; own[p]=max(own[p],v); DROPL1(p); 
#ifdef QRESOLVES
        floor=max(floor,v);
#endif
        sync[p]=0; pend--; v=0; goto end_w }
#endif
  :: atomic { !dead[p] && conn[p]!=NONE && n[conn[p]].master
#ifdef MINREPL
       && REPL_OK(conn[p])
#endif
       -> nd=conn[p]; INV(nd,1); e=n[nd].ep;
#ifdef RINGATSEND
       ring[p]=1;
#endif
       if :: kep[p]!=e -> sync[p]=0 :: else fi }
  fi;
#ifdef WAITACK
  /* WAIT 1: replica has it, else retry */
  if :: atomic { dead[p] -> pend--; goto end_d }
     :: atomic { !dead[p] && conn[p]==nd && nd==cur && n[nd].master && n[nd].ep==e && n[1-nd].seq>=n[nd].seq -> skip }
     :: atomic { !dead[p] && (conn[p]!=nd || (nd==cur && n[nd].ep!=e)) -> goto inv }
  fi;
#endif
  /* reply */
  atomic {
    if
    :: dead[p] -> pend--; goto end_d
#ifdef REPLYEPOCH
    :: !dead[p] && (conn[p]!=nd || kep[p]!=e) -> e=0; nd=0; goto inv      /* answered by another history: issue again */
    :: !dead[p] && conn[p]==nd && kep[p]==e ->
#else
    :: !dead[p] ->
#endif
       ring[p]=1; own[p]=max(own[p],v); floor=max(floor,v); DROPL1(p);
       pend--; v=0; e=0; nd=0
    fi };
#ifdef CRASH
  if :: atomic { p==0 && !dead[0] -> dead[0]=1; conn[0]=NONE; sync[0]=0; l1[0]=0; ring[0]=0; needre[0]=0; goto end_d }
     :: skip
  fi;
#endif
  goto end_w;
end_d: skip
}

#ifdef RELAY
/* outbox relay: re-issues all recent committed rows into a new epoch, then marks it */
proctype Relay() {
  byte e=0, nd=0, rv=0;
end_rel:
  do
#ifdef RELAY_SCANS_FIRST
#define RG 1
#else
#define RG (n[cur].mark != n[cur].ep || relaydirty)
#endif
  :: atomic { RG -> 
#ifdef RELAY_SCANS_FIRST
 rv=src };
 atomic { nd=cur; e=n[nd].ep };
#else
 nd=cur; e=n[nd].ep; rv=src };
#endif

     /* re-issue */
     if :: atomic { n[nd].master && n[nd].ep==e -> if :: rv>1 -> INV(nd,1) :: else fi;
                     relaydirty = (src != rv) ;
#ifndef RELAYSILENT
                     if :: nd==cur -> floor=max(floor,rv) :: else fi
#endif
                  }
        :: atomic { !(n[nd].master && n[nd].ep==e) -> goto nx }
     fi;
#ifdef RELAY_MARKS_BLINDLY
     atomic { n[cur].mark=n[cur].ep };
#else
     atomic { if :: n[nd].master && n[nd].ep==e -> n[nd].mark=e :: else fi };
#endif
nx:  atomic { e=0; nd=0; rv=0 }
  od
}
#endif

proctype Env() {
end_e:
  do
#ifdef LEXP
  :: atomic { n[cur].lease!=0 -> n[cur].lease=0 }
#endif
#if NF>0
  /* replication: prefix semantics, replica = master at some earlier point */
  :: atomic { !n[1-cur].master && nf<NF &&
       (n[1-cur].val!=n[cur].val || n[1-cur].lease!=n[cur].lease || n[1-cur].seq!=n[cur].seq || n[1-cur].mark!=n[cur].mark || n[1-cur].vep!=n[cur].vep)
       -> COPY(1-cur,cur); n[1-cur].ep=n[cur].ep }
  /* crash failover */
  :: atomic { nf<NF && !n[1-cur].master ->
       nf++; cur=1-cur; n[cur].master=1; n[cur].ep=nextep; nextep++;
       n[1-cur].master=0;
#ifndef NOKILL
       if :: conn[0]!=NONE -> conn[0]=NONE :: else fi;
       if :: conn[1]!=NONE -> conn[1]=NONE :: else fi;
#endif
       COPY(1-cur,cur); n[1-cur].ep=n[cur].ep }
#ifdef SPLIT
  :: atomic { nf<NF && !n[1-cur].master -> nf++; cur=1-cur; n[cur].master=1; n[cur].ep=nextep; nextep++ }
  /* end of split brain: the old master is demoted and loses its tail */
  :: atomic { n[1-cur].master -> n[1-cur].master=0; COPY(1-cur,cur); n[1-cur].ep=n[cur].ep;
       if :: conn[0]==1-cur -> conn[0]=NONE :: else fi;
       if :: conn[1]==1-cur -> conn[1]=NONE :: else fi }
#endif
#endif
#ifdef QUEUE
  :: atomic { nf==NF && conn[0]!=NONE && !dead[0] -> conn[0]=NONE }
#endif
  /* quiescence check (P: L1 = L2 = source or absent) */
  :: atomic { nw==NW && pend==0 && (NF==0 || (nf==NF && !n[1-cur].master)) && len(q0)==0 && len(q1)==0
       && (dead[0] || (sync[0] && conn[0]==cur && kep[0]==n[cur].ep && (!HBON(0) || kseq[0]==n[cur].seq)))
       && (sync[1] && conn[1]==cur && kep[1]==n[cur].ep && (!HBON(1) || kseq[1]==n[cur].seq)) && !queued[0] && !queued[1]
#ifdef RELAY
       && n[cur].mark==n[cur].ep && !relaydirty
#endif
       ->
       assert(n[cur].val==0 || n[cur].val==src
#ifdef STAMP
              || n[cur].vep!=n[cur].ep
#endif
       );
       assert(dead[0] || l1[0]==0 || l1[0]==src);
       assert(l1[1]==0 || l1[1]==src) }
  od
}

init {
  atomic {
    n[0].val=1; n[0].vep=1; n[0].ep=1; n[0].mark=1; n[0].master=1;
    n[1].val=1; n[1].vep=1; n[1].ep=1; n[1].mark=1;
    conn[0]=0; conn[1]=0; kep[0]=1; kep[1]=1; pfloor[0]=1; pfloor[1]=1; sync[0]=1; sync[1]=1;
    if :: skip :: n[0].val=0; n[0].vep=0; n[1].val=0; n[1].vep=0 fi;
    run Sub(0,q0); run Sub(1,q1); run Env();
#ifndef NOR0
    run Reader(0);
#endif
#ifndef NOR1
    run Reader(1);
#endif
    run Writer(0);
#ifdef TWOWRITERS
    run Writer(1);
#endif
#ifdef RELAY
    run Relay();
#endif
  }
}
