// The interpreter of syscall programs on arm64. See src/program/interpreter.ts for the rows that it reads.
// x19: the row. x20: what the last step that failed returned.
spawn:                          // x0 = the row that clones, x1 = the child's first row
    mov  x9, x1                 // the kernel keeps x9 through the call
    ldr  w8, [x0]
    ldp  x1, x2, [x0, #32]
    ldp  x3, x4, [x0, #48]
    ldr  x0, [x0, #24]
    svc  #0
    cbz  x0, child
    ret
child:
    mov  x19, x9
loop:
    ldr  w8, [x19]
    ldr  w9, [x19, #4]          // bit k: argument k is the address of the value; bit 8 + k: there is one
    mov  x0, #0
    mov  x1, #0
    mov  x2, #0
    mov  x3, #0
    mov  x4, #0
    mov  x5, #0
    tbz  w9, #8, 3f
    ldr  x0, [x19, #24]
    tbz  w9, #0, 1f
    ldr  x0, [x0]
1:  tbz  w9, #9, 3f
    ldr  x1, [x19, #32]
    tbz  w9, #1, 1f
    ldr  x1, [x1]
1:  tbz  w9, #10, 3f
    ldr  x2, [x19, #40]
    tbz  w9, #2, 1f
    ldr  x2, [x2]
1:  tbz  w9, #11, 3f
    ldr  x3, [x19, #48]
    tbz  w9, #3, 1f
    ldr  x3, [x3]
1:  tbz  w9, #12, 3f
    ldr  x4, [x19, #56]
    tbz  w9, #4, 1f
    ldr  x4, [x4]
1:  tbz  w9, #13, 3f
    ldr  x5, [x19, #64]
    tbz  w9, #5, 3f
    ldr  x5, [x5]
3:  tbnz w8, #31, operation
    svc  #0
store:
    str  x0, [x19, #16]
    cmn  x0, #4095
    b.lo next
    ldr  w9, [x19, #12]         // two errors that are as good as success, 16 bits each
1:  cmp  x0, w9, sxth
    b.eq next
    lsr  w9, w9, #16
    cbnz w9, 1b
    mov  x20, x0
    ldrsw x9, [x19, #8]         // how far away the row is that an error leads to
    add  x19, x19, x9
    b    loop
next:
    ldr  w9, [x19, #4]
    lsr  w9, w9, #16            // the size of this row
    add  x19, x19, x9
    b    loop
operation:                      // w8 = -1 set, -2 append, -3 below, -4 equal, -5 error
    cmn  w8, #1
    b.eq set
    cmn  w8, #2
    b.eq append
    cmn  w8, #3
    b.eq below
    cmn  w8, #4
    b.eq equal
    mov  x0, x20
    b    store
set:                            // the word at x0 becomes (x1 << x3) + x2
    lsl  x1, x1, x3
    add  x1, x1, x2
    str  x1, [x0]
    b    yes
append:                         // strings at x2, x3, x4, x5 are copied to where [x0] points, as far as x1
    ldr  x9, [x0]
1:  cbz  x2, 3f
2:  cmp  x9, x1
    b.eq 3f
    ldrb w10, [x2]
    strb w10, [x9]
    add  x2, x2, #1
    add  x9, x9, #1
    cbnz w10, 2b
    sub  x9, x9, #1             // at the terminating zero: the next string continues there
    mov  x2, x3
    mov  x3, x4
    mov  x4, x5
    mov  x5, #0
    b    1b
3:  str  x9, [x0]
    b    yes
equal:                          // x2 bytes at x0 and x1
    cbz  x2, yes
    ldrb w9, [x0]
    ldrb w10, [x1]
    cmp  w9, w10
    b.ne no
    add  x0, x0, #1
    add  x1, x1, #1
    sub  x2, x2, #1
    b    equal
below:                          // x0 < x1, unsigned
    cmp  x0, x1
    b.lo yes
no:
    mov  x0, #-1
    b    store
yes:
    mov  x0, #0
    b    store
