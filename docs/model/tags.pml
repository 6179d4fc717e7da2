/*
 * Tags on one server. An entry is a version and the sequence number that was read before its load. An invalidation by tag
 * moves the tag's generation to the next number, and deletes neither keys nor leases; an entry is used while its number
 * is not less than the generation.
 *
 * NWT writes. FENCETAB: L1 takes nothing older than what was heard of the tag; FENCEANY: nothing whose flight any message
 * interrupted. FILLCHK: the fill looks at the generation, too. TWOTRIPS: the generation is asked for after the entry, as
 * for tags that only the value tells. TAGFIRST: before it. LOCALTAB: what is known here is used instead. SEQAFTER: the
 * number is that of the fill. L1NOCHECK: nothing is asserted of L1.
 */
#ifndef NWT
#define NWT 1
#endif
byte src=1, floor=1, nw=0;
byte val=0, s0=0, seq=0, tseq=0, lease=0;    /* server */
byte ltab[2], kseq[2], l1v[2], l1s[2], pfl[2]; bit pois[2];
chan q0=[3] of {byte}; chan q1=[3] of {byte};
#define max(a,b) ((a)>(b) -> (a) : (b))
proctype Writer() { byte v;
 do :: atomic { nw<NWT -> nw++; src++; v=src };
       atomic { seq++; tseq=seq;
         if :: len(q0)<3 -> q0!seq fi; if :: len(q1)<3 -> q1!seq fi };
       atomic { floor=max(floor,v); v=0 }
 :: atomic { nw==NWT -> break } od }
proctype Sub(byte p; chan q) { byte s,h,f; bit hb;
end_s: do
 :: atomic { len(q)>0 -> q?s; ltab[p]=max(ltab[p],s); kseq[p]=max(kseq[p],s);
      if :: l1v[p]!=0 && l1s[p]<ltab[p] -> l1v[p]=0; l1s[p]=0 :: else fi;
      pois[p]=1; s=0 }
 :: atomic { !hb -> h=seq; f=floor; hb=1 }
 :: atomic { hb && kseq[p]>=h -> pfl[p]=max(pfl[p],f); hb=0;h=0;f=0 }
 od }
proctype Reader(byte p) { byte v,s,g,fl; bit first;
end_r: do
 :: atomic { l1v[p]!=0 -> 
#ifndef L1NOCHECK
     assert(l1v[p]>=pfl[p])
#endif
   }
 :: atomic { l1v[p]!=0 -> l1v[p]=0; l1s[p]=0 }           /* local eviction */
 :: atomic { l1v[p]==0 -> pois[p]=0; fl=floor };
#ifdef TAGFIRST  /* generations ride along in an EARLIER trip than the entry */
    atomic { g=tseq }; atomic { v=val; s=s0 };
#else
#ifdef LOCALTAB
    atomic { v=val; s=s0; g=ltab[p] };
#else
#ifdef TWOTRIPS  /* computed tag: learnt from the entry, generation fetched afterwards */
    atomic { v=val; s=s0 }; atomic { g=tseq };
#else
    atomic { v=val; s=s0; g=tseq };
#endif
#endif
#endif
    if :: atomic { v!=0 && s>=g -> assert(v>=fl); goto ins }
       :: atomic { v==0 || s<g -> skip } fi;
    atomic { if :: lease==0 -> lease=p+1 :: else -> goto out fi;
#ifndef SEQAFTER
      s=seq
#endif
    };
    atomic { v=src };
    atomic { if :: lease==p+1 -> lease=0 :: else -> goto out fi;
#ifdef SEQAFTER
      s=seq;
#endif
#ifdef FILLCHK  /* script refuses when the (now known) computed tag was invalidated after s */
      if :: s<tseq -> goto out :: else fi; assert(v>=floor);
#endif
      val=v; s0=s };
ins: atomic { 
#ifdef FENCEANY
      if :: !pois[p] -> l1v[p]=v; l1s[p]=s :: else fi
#else
#ifdef FENCETAB
      if :: s>=ltab[p] -> l1v[p]=v; l1s[p]=s :: else fi
#else
      l1v[p]=v; l1s[p]=s
#endif
#endif
    };
out: atomic { v=0;s=0;g=0;fl=0 }
 od }
init { atomic { pfl[0]=1; pfl[1]=1; run Writer(); run Sub(0,q0); run Sub(1,q1); run Reader(0); run Reader(1) } }
