package dev.sealwire

import kotlin.test.Test
import kotlin.test.assertEquals

class VersionTest {
    @Test
    fun `the version is the workspace's`() {
        val workspace = Regex("""(?m)^version = "(.*)"""").find(repository.resolve("Cargo.toml").readText())!!.groupValues[1]
        val here = Regex("<version>(.*)</version>").find(repository.resolve("bindings/kotlin/pom.xml").readText())!!.groupValues[1]
        assertEquals(workspace, here)
    }

    @Test
    fun `there is an exception for every code`() {
        val here = SealwireException::class.java.declaredClasses.map { it.simpleName }.toSet() - "Internal"
        assertEquals(dev.sealwire.ffi.errorCodes().toSet(), here)
    }
}
