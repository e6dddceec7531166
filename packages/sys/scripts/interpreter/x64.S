# The interpreter of syscall programs on x86-64. See src/program/interpreter.ts for the rows that it reads.
# rbx: the row. r12: what the last step that failed returned.
.intel_syntax noprefix
spawn:                          # rdi = the row that clones, rsi = the child's first row
    mov  r9, rsi                # no clone call reads a sixth argument: it crosses in r9
    mov  eax, [rdi]
    mov  rsi, [rdi+32]
    mov  rdx, [rdi+40]
    mov  r10, [rdi+48]
    mov  r8, [rdi+56]
    mov  rdi, [rdi+24]
    syscall
    test rax, rax
    je   child
    ret
child:
    mov  rbx, r9
loop:
    mov  eax, [rbx]
    mov  ecx, [rbx+4]           # cl, bit k: argument k is the address of the value; ch: there is one
    xor  edi, edi
    xor  esi, esi
    xor  edx, edx
    xor  r10d, r10d
    xor  r8d, r8d
    xor  r9d, r9d
    test ch, 1
    je   3f
    mov  rdi, [rbx+24]
    test cl, 1
    je   1f
    mov  rdi, [rdi]
1:  test ch, 2
    je   3f
    mov  rsi, [rbx+32]
    test cl, 2
    je   1f
    mov  rsi, [rsi]
1:  test ch, 4
    je   3f
    mov  rdx, [rbx+40]
    test cl, 4
    je   1f
    mov  rdx, [rdx]
1:  test ch, 8
    je   3f
    mov  r10, [rbx+48]
    test cl, 8
    je   1f
    mov  r10, [r10]
1:  test ch, 16
    je   3f
    mov  r8, [rbx+56]
    test cl, 16
    je   1f
    mov  r8, [r8]
1:  test ch, 32
    je   3f
    mov  r9, [rbx+64]
    test cl, 32
    je   3f
    mov  r9, [r9]
3:  test eax, eax
    js   operation
    syscall
store:
    mov  [rbx+16], rax
    cmp  rax, -4095
    jb   next
    mov  ecx, [rbx+12]          # two errors that are as good as success, 16 bits each
1:  cmp  cx, ax
    je   next
    shr  ecx, 16
    jne  1b
    mov  r12, rax
    movsxd rcx, [rbx+8]         # how far away the row is that an error leads to
    add  rbx, rcx
    jmp  loop
next:
    mov  ecx, [rbx+4]
    shr  ecx, 16                # the size of this row
    add  rbx, rcx
    jmp  loop
operation:                      # eax = -1 set, -2 append, -3 below, -4 equal, -5 error
    inc  eax
    je   set
    inc  eax
    je   append
    inc  eax
    je   below
    inc  eax
    je   equal
    mov  rax, r12
    jmp  store
set:                            # the word at rdi becomes (rsi << r10) + rdx
    mov  rcx, r10
    shl  rsi, cl
    add  rsi, rdx
    mov  [rdi], rsi
    jmp  yes
append:                         # strings at rdx, r10, r8, r9 are copied to where [rdi] points, as far as rsi
    mov  rcx, [rdi]
1:  test rdx, rdx
    je   3f
2:  cmp  rcx, rsi
    je   3f
    mov  al, [rdx]
    mov  [rcx], al
    inc  rdx
    inc  rcx
    test al, al
    jne  2b
    dec  rcx                    # at the terminating zero: the next string continues there
    mov  rdx, r10
    mov  r10, r8
    mov  r8, r9
    xor  r9d, r9d
    jmp  1b
3:  mov  [rdi], rcx
    jmp  yes
equal:                          # rdx bytes at rdi and rsi
    mov  rcx, rdx
    cmp  eax, eax               # no bytes are equal
    repe cmpsb
    je   yes
    jmp  no
below:                          # rdi < rsi, unsigned
    cmp  rdi, rsi
    jb   yes
no:
    or   rax, -1
    jmp  store
yes:
    xor  eax, eax
    jmp  store
