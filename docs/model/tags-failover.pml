/*
 * Tags across a failover. A master that may lose any tail of what it acknowledged, a replica that takes its place, and
 * two processes. Process 0 writes and invalidates by tag; both read through L1 and L2. An invalidation moves the tag's
 * generation to the next sequence number of the shard; an entry carries the number that was current before its load, and
 * is used only if that is not less than the tag's generation. No key and no lease is deleted.
 *
 * Faults:  NF failovers, FLUSH the server is emptied once, DROP messages are lost, LEXP leases expire.
 * Kinds:   STRICT entries of the present epoch only; otherwise an ordinary kind, of which nothing is demanded between a
 *          failover and the moment at which the issuer has announced its ring again.
 * Rules that can be left out: WITHOUT_REISSUE, WITHOUT_EPOCH_AT_FILL, WITHOUT_STAMP_CHECK_AT_FILL, WITHOUT_L1_FENCE,
 *          WITHOUT_L1_DROP (at a new epoch), WITHOUT_TIME_START (after FLUSH numbers begin with zero again),
 *          REISSUE_AFTER_TRUST.
 */
#ifndef NW
#define NW 2
#endif
#ifndef NF
#define NF 0
#endif
#define max(a,b) ((a)>(b) -> (a) : (b))

typedef Node { byte val; byte stamp; byte vep; byte lease; byte seq; byte tag; byte ep };
Node n[2];
byte cur = 0, nextep = 2, nf = 0, nw = 0, flushed = 0, lastseq = 0;
byte src = 1;          /* committed version in the source */
byte floor = 1;        /* newest version whose invalidation has resolved */
byte own = 1;          /* the same, of process 0 */
bit  pend = 0, ring = 0;
byte reissued = 1;     /* the epoch in which the issuer's ring is known to be complete */

byte kep[2], kseq[2], ltab[2], l1v[2], l1s[2], pfl[2];
bit  sync[2], pois[2], conn[2];      /* conn: to the present master */
chan q0 = [2] of { byte, byte };
chan q1 = [2] of { byte, byte };

#ifdef STRICT
#define DUE 1
#else
#define DUE (reissued == n[cur].ep)
#endif

#ifdef DROP
#define PUB(q,p) if :: conn[p] && len(q) < 2 -> q!n[cur].ep,n[cur].seq :: skip fi
#else
#define PUB(q,p) if :: conn[p] && len(q) < 2 -> q!n[cur].ep,n[cur].seq :: else fi
#endif

inline INVALIDATE() {
  n[cur].seq++; n[cur].tag = n[cur].seq; lastseq = max(lastseq, n[cur].seq);
  PUB(q0,0); PUB(q1,1)
}
inline FORGETL1(pp) { l1v[pp] = 0; l1s[pp] = 0; pois[pp] = 1 }
inline APPLY(pp,number) {
  ltab[pp] = number; kseq[pp] = number; pois[pp] = 1;
  if :: l1v[pp] != 0 && l1s[pp] < number -> l1v[pp] = 0; l1s[pp] = 0 :: else fi
}

proctype Sub(byte p; chan q) {
  byte e, s, hep, hseq, hfl; bit hb = 0;
end_sub:
  do
  :: atomic { len(q) > 0 -> q?e,s;
      if
      :: e != kep[p] -> sync[p] = 0; FORGETL1(p)
      :: e == kep[p] && s <= kseq[p] -> skip
      :: e == kep[p] && s > kseq[p] -> APPLY(p,s)      /* every message here is of the one tag, so a gap hides nothing */
      fi; e = 0; s = 0 }
  :: atomic { conn[p] && sync[p] && !hb -> hep = n[cur].ep; hseq = n[cur].seq; hfl = (DUE -> floor : 0); hb = 1 }
  :: atomic { hb ->
      if
      :: !sync[p] || !conn[p] -> skip
      :: sync[p] && conn[p] && (hep != kep[p] || hseq < kseq[p]) -> sync[p] = 0; FORGETL1(p)
      :: sync[p] && conn[p] && hep == kep[p] && hseq >= kseq[p] ->
           if :: hseq > kseq[p] -> APPLY(p,hseq) :: else fi;
           pfl[p] = max(pfl[p], hfl)
      fi; hb = 0; hep = 0; hseq = 0; hfl = 0 }
  /* Connect: subscribe, then learn where the channel stands. */
  :: atomic { !hb && (!conn[p] || !sync[p]) -> conn[p] = 1; sync[p] = 0;
      do :: len(q) > 0 -> q?e,s :: len(q) == 0 -> break od; e = 0; s = 0;
      if
      :: n[cur].ep != kep[p] || n[cur].seq < kseq[p] ->
#ifndef WITHOUT_L1_DROP
           FORGETL1(p); ltab[p] = 0;
#endif
#ifndef STRICT
           pfl[p] = 0;         /* what an ordinary kind was promised in the old history it is promised anew by a proof */
#endif
           kep[p] = n[cur].ep; kseq[p] = n[cur].seq
      :: else -> s = n[cur].seq; if :: s > kseq[p] -> APPLY(p,s) :: else fi; s = 0
      fi;
#ifdef REISSUE_AFTER_TRUST
      sync[p] = 1
#else
      if :: p == 0 && reissued != kep[p] -> skip :: else -> sync[p] = 1 fi
#endif
    }
    /* Only the issuer: announce the ring again before anything is trusted. */
    if
    :: atomic { p == 0 && conn[0] && reissued != kep[0] && kep[0] == n[cur].ep ->
#ifndef WITHOUT_REISSUE
         if :: ring -> INVALIDATE(); FORGETL1(0) :: else fi;
#endif
         reissued = n[cur].ep; sync[0] = 1 }
    :: atomic { p != 0 || !conn[0] || reissued == kep[0] || kep[0] != n[cur].ep -> skip }
    fi
  od
}

proctype Writer() {
  byte v = 0, e = 0;
end_w:
  do
  :: atomic { nw < NW -> nw++; src++; v = src; pend = 1 };
again:
    atomic { conn[0] -> INVALIDATE(); e = n[cur].ep; ring = 1 };
    /* The answer counts only in the history that this process follows. */
    if
    :: atomic { conn[0] && kep[0] == e && n[cur].ep == e ->
         own = v; floor = max(floor, v); FORGETL1(0); pend = 0; v = 0; e = 0 }
    :: atomic { !conn[0] || kep[0] != e || n[cur].ep != e -> e = 0; goto again }
    fi
  od
}

proctype Reader(byte p) {
  byte v, s, fl, ow, fep, kf;
end_r:
  do
  :: atomic { sync[p] && l1v[p] != 0 -> assert(l1v[p] >= pfl[p]); assert(p != 0 || l1v[p] >= own) }
  :: atomic { sync[p] && l1v[p] != 0 -> l1v[p] = 0; l1s[p] = 0 }         /* evicted */
  :: atomic { sync[p] && conn[p] && l1v[p] == 0 -> pois[p] = 0; fl = (DUE -> floor : 0); ow = own; kf = kep[p] };
    /* One script: entry, its tag's generation, the server's epoch; or on a miss the lease and the sequence. */
    atomic {
      if :: !conn[p] || !sync[p] || kep[p] != kf || n[cur].ep != kf -> goto out :: else fi;
      fep = n[cur].ep;
      if
      :: n[cur].val != 0 && n[cur].stamp >= n[cur].tag
#ifdef STRICT
         && n[cur].vep == n[cur].ep
#endif
         -> v = n[cur].val; s = n[cur].stamp;
            if :: DUE -> assert(v >= fl) :: else fi;
            assert(p != 0 || v >= ow);
            goto ins
      :: else
      fi;
      if :: n[cur].lease == 0 -> n[cur].lease = p + 1; s = n[cur].seq :: else -> goto out fi
    };
    atomic { v = src };
    atomic {
      if :: !conn[p] || n[cur].lease != p + 1 -> goto out :: else -> n[cur].lease = 0 fi;
#ifndef WITHOUT_EPOCH_AT_FILL
      if :: n[cur].ep != fep -> goto out :: else fi;
#endif
#ifndef WITHOUT_STAMP_CHECK_AT_FILL
      if :: s < n[cur].tag -> goto out :: else fi;
#endif
      n[cur].val = v; n[cur].stamp = s; n[cur].vep = n[cur].ep };
ins:
    atomic {
      if
      :: sync[p] && kep[p] == kf
#ifndef WITHOUT_L1_FENCE
         && s >= ltab[p] && !pois[p]
#endif
         -> l1v[p] = v; l1s[p] = s
      :: else
      fi };
out:
    atomic { v = 0; s = 0; fl = 0; ow = 0; fep = 0; kf = 0 }
  od
}

proctype Env() {
end_e:
  do
#ifdef LEXP
  :: atomic { n[cur].lease != 0 -> n[cur].lease = 0 }
#endif
#if NF > 0
  /* The replica has what the master had at some moment. */
  :: atomic { nf < NF -> n[1-cur].val = n[cur].val; n[1-cur].stamp = n[cur].stamp; n[1-cur].vep = n[cur].vep;
       n[1-cur].lease = n[cur].lease; n[1-cur].seq = n[cur].seq; n[1-cur].tag = n[cur].tag }
  :: atomic { nf < NF -> nf++; cur = 1 - cur; n[cur].ep = nextep; nextep++; conn[0] = 0; conn[1] = 0 }
#endif
#ifdef FLUSH
  :: atomic { !flushed -> flushed = 1; n[cur].val = 0; n[cur].stamp = 0; n[cur].vep = 0; n[cur].lease = 0; n[cur].tag = 0;
#ifdef WITHOUT_TIME_START
       n[cur].seq = 0
#else
       n[cur].seq = lastseq + 1
#endif
     }
#endif
  /* At rest every tier has the present version, or nothing. */
  :: atomic { nw == NW && !pend && nf == NF && len(q0) == 0 && len(q1) == 0 && reissued == n[cur].ep
       && conn[0] && conn[1] && sync[0] && sync[1] && kep[0] == n[cur].ep && kep[1] == n[cur].ep
       && kseq[0] == n[cur].seq && kseq[1] == n[cur].seq ->
       assert(n[cur].val == 0 || n[cur].val == src || n[cur].stamp < n[cur].tag
#ifdef STRICT
              || n[cur].vep != n[cur].ep
#endif
       );
       assert(l1v[0] == 0 || l1v[0] == src); assert(l1v[1] == 0 || l1v[1] == src) }
  od
}

init {
  atomic {
    n[0].val = 1; n[0].vep = 1; n[0].ep = 1; n[1].val = 1; n[1].vep = 1; n[1].ep = 1;
    kep[0] = 1; kep[1] = 1; pfl[0] = 1; pfl[1] = 1; sync[0] = 1; sync[1] = 1; conn[0] = 1; conn[1] = 1;
    run Sub(0, q0); run Sub(1, q1); run Env(); run Writer();
#ifndef NOR0
    run Reader(0);
#endif
    run Reader(1)
  }
}
