package dev.sealwire

import java.io.File
import java.nio.file.Files
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertTrue

/** An app that is shrunk, optimized and renamed with the rules in the jar, by ProGuard, whose rules are R8's. */
class ShrinkTest {
    private val path = System.getProperty("java.class.path").split(File.pathSeparator)

    @Test
    fun `what JNA and the library find by its name is still there`() {
        val folder = Files.createTempDirectory("sealwire").toFile()
        val shrunk = File(folder, "app.jar")
        val config = File(folder, "app.pro").apply {
            writeText(
                """
                -injars ${on("target/classes")}(!META-INF/proguard/**)
                -injars ${on("target/test-classes")}(dev/sealwire/shrunk/**)
                -injars ${on("jna-5")}(com/sun/jna/**)
                -injars ${on("kotlin-stdlib-2")}(!META-INF/**)
                -injars ${on("kotlinx-coroutines-core-jvm-1")}(!META-INF/**)
                -outjars $shrunk
                -libraryjars ${on("annotations-")}
                -libraryjars <java.home>/jmods/java.base.jmod(!**.jar;!module-info.class)
                -libraryjars <java.home>/jmods/java.logging.jmod(!**.jar;!module-info.class)
                -include ${repository.resolve("bindings/kotlin/src/main/resources/META-INF/proguard/sealwire.pro")}
                -dontwarn kotlin.**,kotlinx.**
                -dontnote **
                -keep class dev.sealwire.shrunk.AppKt { public static void main(java.lang.String[]); }
                """.trimIndent(),
            )
        }
        val (made, why) = java("-cp", path.joinToString(File.pathSeparator), "proguard.ProGuard", "@$config")
        assertEquals(0, made, why)
        val (ran, said) = java("-cp", shrunk.path, "dev.sealwire.shrunk.AppKt")
        assertEquals(0, ran, said)
        assertTrue(said.startsWith("all of it"), said)
        assertFalse("dev.sealwire.Identity" in said, "nothing was renamed: $said")
        folder.deleteRecursively()
    }

    private fun on(name: String) = path.single { if ('/' in name) it.endsWith(name) else File(it).name.startsWith(name) }

    private fun java(vararg arguments: String): Pair<Int, String> {
        val java = File(System.getProperty("java.home"), "bin/java").path
        val process = ProcessBuilder(java, *arguments).redirectErrorStream(true).start()
        val said = process.inputStream.bufferedReader().readText()
        return process.waitFor() to said
    }
}
