/* Masks what an x86 processor says it can do: LEVEL 3 leaves AVX2, 2 leaves AVX, 1 leaves SSE. For `LD_PRELOAD` on Linux,
   on processors that can be told to trap on CPUID (`cpuid_fault` in /proc/cpuinfo); see `run.py`. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#define ARCH_SET_CPUID 0x1012
#define BIT(n) (1u << (n))

static int answer(int on) { return (int)syscall(SYS_arch_prctl, ARCH_SET_CPUID, on); }

static void trap(int number, siginfo_t *info, void *context) {
  greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
  const unsigned char *code = (const unsigned char *)r[REG_RIP];
  if (code[0] != 0x0f || code[1] != 0xa2) { signal(SIGSEGV, SIG_DFL); return; }
  unsigned leaf = (unsigned)r[REG_RAX], part = (unsigned)r[REG_RCX], a, b, c, d;
  answer(1);
  __cpuid_count(leaf, part, a, b, c, d);
  answer(0);
  if (leaf == 1 && LEVEL < 3) c &= ~(BIT(12) | (LEVEL < 2 ? BIT(28) | BIT(29) : 0)); /* FMA; AVX, F16C */
  if (leaf == 7 && part == 0) {
    if (LEVEL < 3) b &= ~BIT(5); /* AVX2 */
    b &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31)); /* AVX-512 */
    c &= ~(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14)); /* AVX-512, its VNNI among them */
    d &= ~(BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25)); /* AVX-512, AMX */
  }
  if (leaf == 7 && part == 1) {
    a &= ~(BIT(4) | BIT(5) | BIT(21) | BIT(23)); /* AVX-VNNI, bfloat16, AMX, IFMA */
    d &= ~(BIT(4) | BIT(5) | BIT(10)); /* AVX-VNNI of other types */
  }
  r[REG_RAX] = a; r[REG_RBX] = b; r[REG_RCX] = c; r[REG_RDX] = d; r[REG_RIP] += 2;
}

__attribute__((constructor)) static void begin(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = trap;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, 0);
  if (answer(0)) _exit(3);
}
